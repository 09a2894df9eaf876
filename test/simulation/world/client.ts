// A client of the simulated cluster: sends its requests one after the other, to another gateway after a refusal that says
// that nothing was changed, and records what it observed.

import type { Observed, Effect, Outcome } from '../../histories/history.ts';
import type { ClientCall, ClientResponse } from './gateway.ts';
import { documentFor } from './expected-content.ts';
import { COLLECTIONS_PATH, collectionPath, contentIn, LARGE_INTEGER, recordsPath } from './node-content.ts';
import { colorOf, type ClientStep } from './plan.ts';

/** A response, or null when the connection ended without one. */
export interface Exchange {
  readonly gateway: string;
  readonly response: ClientResponse | null;
}

export interface ClientOptions {
  readonly name: string;
  readonly gateways: readonly string[];
  /** The gateway of its first request. */
  readonly first: number;
  readonly echoes: boolean;
  /** Whether each request goes to another gateway than the one before. */
  readonly roams: boolean;
  readonly nowMs: () => number;
  /** Resolves after a while. */
  readonly pause: (ms: number) => Promise<void>;
  readonly exchange: (gateway: string, call: ClientCall) => Promise<ClientResponse | null>;
  readonly observe: (operation: Observed) => void;
  /** A request has its outcome. */
  readonly onOutcome: (done: Done) => void;
  /** A response has shown that the collection exists under this name. */
  readonly onKnown: (id: string, name: string) => void;
  /** A collection was asked for by its name. */
  readonly onNamed: (name: string, status: number, invokedAtMs: number) => void;
  readonly trace: (text: () => string) => void;
}

/** A request with its outcome, for the invariants. */
export interface Done {
  readonly request: ClientStep;
  readonly gateway: string;
  readonly collection: string | null;
  readonly response: ClientResponse | null;
  readonly outcome: Outcome;
  readonly invokedAtMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

// A client gives up after a failover of PostgreSQL and one of the leader.
const PATIENCE_MS = 20_000;
const PAUSE_MS = 100;

export class SimulatedClient {
  readonly #options: ClientOptions;
  readonly #requests: ClientStep[] = [];
  #gateway: number;
  #isWorking = false;
  /** Ids of collections by the names under which this client knows them. */
  readonly #ids = new Map<string, string>();
  /** Highest LSN of each collection that a response named. */
  readonly #lsns = new Map<string, number>();
  /** Requests without an outcome. */
  pending = 0;
  /** The request that waits for a response. */
  #open: Omit<Done, 'response' | 'outcome' | 'gateway'> | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#gateway = options.first;
  }

  /** Sends the request after those before it. */
  add(request: ClientStep): void {
    this.pending += 1;
    this.#requests.push(request);
    if (!this.#isWorking) void this.#work();
  }

  /** Observes the request that still waits for its response: it may have been executed. */
  end(): void {
    if (this.#open !== null)
      this.#observe({ ...this.#open, gateway: '', response: null, outcome: 'indeterminate' });
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    for (let next = this.#requests.shift(); next !== undefined; next = this.#requests.shift()) {
      await this.#run(next);
      this.pending -= 1;
    }
    this.#isWorking = false;
  }

  async #run(request: ClientStep): Promise<void> {
    const needsId =
      'ids' in request || request.op === 'delete_where' || request.op === 'modify' || request.op === 'rename';
    let collection: string | null = null;
    if (needsId) {
      const name = (request as { name: string }).name;
      collection = this.#ids.get(name) ?? (await this.#find(name));
      if (collection === null) return;
    }
    const invokedAtMs = this.#options.nowMs();
    const call = this.#callOf(request, collection);
    const open = { request, collection, invokedAtMs, headers: call.headers };
    this.#open = open;
    const { gateway, response } = await this.#exchange(call);
    this.#open = null;
    const outcome = outcomeOf(response);
    this.#remember(request, collection, response);
    const done = { ...open, gateway, response, outcome };
    this.#options.onOutcome(done);
    this.#observe(done);
  }

  /** The id of a collection by its name; null when there is none, or no response. */
  async #find(name: string): Promise<string | null> {
    const call = { method: 'GET', path: collectionPath(name), headers: {}, body: '' };
    const invokedAtMs = this.#options.nowMs();
    const { response } = await this.#exchange(call);
    if (response !== null) this.#options.onNamed(name, response.status, invokedAtMs);
    if (response?.status !== 200) return null;
    const { id } = JSON.parse(response.body) as { id: string };
    this.#learn(name, id);
    return id;
  }

  #learn(name: string, id: string): void {
    this.#ids.set(name, id);
    this.#options.onKnown(id, name);
  }

  #callOf(request: ClientStep, collection: string | null): ClientCall {
    const { nowMs } = this.#options;
    const json = { 'content-type': 'application/json' };
    const lsn = this.#options.echoes ? this.#lsns.get(collection ?? '') : undefined;
    const echo = lsn === undefined ? {} : { 'x-polychrome-lsn': String(lsn) };
    const post = (action: string, body: object | string, headers: object = {}): ClientCall => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const all = { ...json, ...headers };
      return { method: 'POST', path: recordsPath(collection!, action), headers: all, body: text };
    };
    switch (request.op) {
      case 'create': {
        const { name, getOrCreate, value, isFailing } = request;
        const metadata = isFailing ? { value, failing: true } : { value };
        const body = JSON.stringify({ name, get_or_create: getOrCreate, metadata });
        return { method: 'POST', path: COLLECTIONS_PATH, headers: json, body };
      }
      case 'drop':
        return { method: 'DELETE', path: collectionPath(request.name), headers: {}, body: '' };
      case 'modify':
      case 'rename': {
        const body =
          request.op === 'rename' ? { new_name: request.to } : { new_metadata: { value: request.value } };
        const path = collectionPath(collection!);
        return { method: 'PUT', path, headers: json, body: JSON.stringify(body) };
      }
      case 'add':
      case 'upsert':
      case 'update':
        return post(request.op, recordsBody(request), { 'x-polychrome-ack': request.level });
      case 'delete':
        return post('delete', { ids: request.ids }, { 'x-polychrome-ack': request.level });
      case 'delete_where':
        return post('delete', { where_document: { $contains: request.color } });
      case 'get': {
        const body = { ids: request.ids, include: ['documents', 'metadatas', 'embeddings'] };
        return post('get', body, { ...echo, 'x-polychrome-consistency': request.consistency });
      }
      case 'query': {
        const include = [
          'documents',
          'metadatas',
          ...(request.withEmbeddings ? ['embeddings'] : []),
          'distances',
        ];
        const { vectors = 1 } = request;
        // No two queries for many vectors are alike, so that each of them reaches a node.
        const first = vectors === 1 ? 50 : 50 + nowMs();
        const embeddings = Array.from({ length: vectors }, (_, n) => [first + n, 1]);
        const body = { query_embeddings: embeddings, n_results: 20, include };
        return post('query', body, { ...echo, 'x-polychrome-consistency': request.consistency });
      }
      case 'list':
        return { method: 'GET', path: COLLECTIONS_PATH, headers: {}, body: '' };
    }
  }

  /** Until a response that is not a refusal without effect; another gateway after each of those. */
  async #exchange(call: ClientCall): Promise<Exchange> {
    const { gateways, nowMs, pause, exchange, trace, name, roams } = this.#options;
    const untilMs = nowMs() + PATIENCE_MS;
    if (roams) this.#gateway += 1;
    for (;;) {
      const gateway = gateways[this.#gateway % gateways.length]!;
      trace(() => `${name} > ${gateway} ${call.method} ${call.path} ${call.body}`);
      const response = await exchange(gateway, call);
      trace(() => {
        const shown = response === null ? 'no response' : `${response.status} ${response.body.slice(0, 200)}`;
        return `${name} < ${gateway} ${shown}`;
      });
      const mayRepeat = isRetryable(response) || (response === null && call.method === 'GET');
      if (!mayRepeat || isForGood(response) || nowMs() > untilMs) return { gateway, response };
      this.#gateway += 1;
      await pause(PAUSE_MS);
    }
  }

  #remember(request: ClientStep, collection: string | null, response: ClientResponse | null): void {
    if (response === null) return;
    const lsn = Number(response.headers['x-polychrome-lsn'] ?? 0);
    if (collection !== null) this.#lsns.set(collection, Math.max(lsn, this.#lsns.get(collection) ?? 0));
    if (request.op === 'create' && response.status === 200) {
      const { id } = JSON.parse(response.body) as { id: string };
      this.#learn(request.name, id);
    }
    if (request.op === 'drop' && response.status === 200) this.#ids.delete(request.name);
    if (request.op === 'rename' && response.status === 200) {
      this.#ids.delete(request.name);
      if (collection !== null) this.#learn(request.to, collection);
    }
    const isMissing = response.status === 404 && collection !== null;
    for (const [name, id] of this.#ids) if (isMissing && id === collection) this.#ids.delete(name);
  }

  #observe({ request, gateway, collection, response, outcome, invokedAtMs }: Done): void {
    const { name: client, echoes, nowMs, observe } = this.#options;
    if (collection === null) return;
    const returnedAt = response === null ? null : nowMs();
    const guarantee =
      'consistency' in request && request.consistency !== 'bounded' ? request.consistency : 'eventual';
    const shared = {
      client,
      gateway: response === null ? null : gateway,
      invokedAt: invokedAtMs,
      returnedAt,
    };
    // At level "log" an entry that no node can apply is quarantined after its acknowledgement (docs/guarantees.md).
    const mayEnd = 'level' in request && request.level === 'log' && outcome === 'ok';
    const promised = mayEnd ? 'indeterminate' : outcome;
    for (const [id, effect] of effectsOf(request, response))
      observe({ ...shared, record: `${collection} ${id}`, effect, outcome: promised, guarantee, echoes });
  }
}

const ALL_IDS = ['a', 'b', 'c', 'd', 'e', 'f'];

/** What the request does to each record, or saw of it. */
function effectsOf(request: ClientStep, response: ClientResponse | null): [string, Effect][] {
  switch (request.op) {
    case 'add':
    case 'upsert':
    case 'update': {
      const does = request.op === 'upsert' ? 'set' : request.op;
      return request.ids.map((id) => [id, { does, value: request.value }]);
    }
    case 'delete':
      return request.ids.map((id) => [id, { does: 'delete' }]);
    case 'delete_where': {
      const matches = (value: number): boolean => colorOf(value) === request.color;
      return ALL_IDS.map((id) => [id, { does: 'delete_if', matches }]);
    }
    case 'get': {
      if (response?.status !== 200) return [];
      const content = contentIn(response.body);
      return (request.ids ?? ALL_IDS).map((id) => [id, { does: 'read', saw: content.get(id) ?? null }]);
    }
    case 'create':
    case 'drop':
    case 'modify':
    case 'rename':
    case 'query':
    case 'list':
      return [];
  }
}

/** The same value in every column, and an integer that no double holds. */
export function recordsBody({
  ids,
  value,
  poison,
  largeKiB,
}: Extract<ClientStep, { op: 'add' | 'upsert' | 'update' }>): string {
  const each = (text: string): string => `[${ids.map(() => text).join(',')}]`;
  const document = JSON.stringify(documentFor(value, poison, largeKiB));
  return `{"ids":${JSON.stringify(ids)},"embeddings":${each(`[${value},1.0]`)},"documents":${each(document)},"metadatas":${each(`{"n":${value},"big":${LARGE_INTEGER}}`)}}`;
}

/** Nothing changes until an operator has chosen what becomes of the log. */
const isForGood = (response: ClientResponse | null): boolean =>
  response?.body.includes('log_rewound') === true;

/** A response after which the request may be repeated: it says that nothing was changed. */
function isRetryable(response: ClientResponse | null): boolean {
  return response !== null && 'retry-after' in response.headers;
}

function outcomeOf(response: ClientResponse | null): Outcome {
  if (response === null) return 'indeterminate';
  if (response.status < 300) return 'ok';
  const isOpen =
    response.status === 503 && !isRetryable(response) && !response.body.includes('Nothing was changed');
  const isPartly = response.status === 500 && response.body.includes('were applied');
  return isOpen || isPartly ? 'indeterminate' : 'refused';
}
