// Clients of a chaos run that record what they observe of a few records: test/histories decides whether it can be right.

import { setTimeout as pause } from 'node:timers/promises';
import type { Effect, Guarantee, Observed, Outcome } from '../histories/history.ts';
import { oneOf, type Random } from '../support/draw.ts';
import { contentIn, LARGE_INTEGER, recordsPath } from '../simulation/world/node-content.ts';
import { documentFor } from '../simulation/world/expected-content.ts';
import { colorOf } from '../simulation/world/plan.ts';
import { type Address, type Exchange, Roaming, RoamingHttp } from './roaming.ts';

const CLIENTS = 6;
const COLLECTIONS = 4;
const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;
const REFUSED_PAUSE_MS = 50;
// A record stays small enough to be checked: a few operations in a second.
const PACE_MS = 120;

let values = 0;

export class HistoryClients {
  readonly observed: Observed[] = [];
  readonly #addresses: readonly Address[];
  readonly #collections: readonly string[];
  readonly #random: Random;
  readonly statuses = new Map<string, number>();
  /** When writes and reads succeeded last, and the longest times without one, ms. */
  readonly pauses = { write: new Pauses(), read: new Pauses() };
  /** Faults of single responses: records whose columns are of different writes. */
  readonly wrong: string[] = [];

  private constructor(addresses: readonly Address[], collections: readonly string[], random: Random) {
    this.#addresses = addresses;
    this.#collections = collections;
    this.#random = random;
  }

  /** Creates the collections; `name` begins their names. */
  static async prepare(addresses: readonly Address[], name: string, random: Random): Promise<HistoryClients> {
    const api = new RoamingHttp(addresses);
    const ids: string[] = [];
    for (let n = 0; n < COLLECTIONS; n++) ids.push(await api.create(`${name}-history-${n}`));
    return new HistoryClients(addresses, ids, random);
  }

  async run(stop: AbortSignal): Promise<void> {
    const { read, write } = this.pauses;
    for (const each of [read, write]) each.begin(performance.now());
    stop.addEventListener('abort', () => [read, write].forEach((each) => each.end(performance.now())));
    await Promise.all(Array.from({ length: CLIENTS }, (_, n) => this.#client(n, stop)));
  }

  /** Reads every record once, at level `strong`; throws when a collection cannot be read. */
  async readAll(): Promise<void> {
    for (const collection of this.#collections) {
      const request: Request = { does: 'get', ids: IDS, guarantee: 'strong' };
      const client = new Roaming(this.#addresses, 0);
      const deadline = performance.now() + READ_ALL_MS;
      while (!(await this.#step({ name: 'audit', roaming: client, echoes: null }, collection, request)))
        if (performance.now() > deadline) throw new Error('a collection cannot be read after the faults');
    }
  }

  async #client(n: number, stop: AbortSignal): Promise<void> {
    const client: Client = {
      name: `c${n}`,
      roaming: new Roaming(this.#addresses, n),
      echoes: n % 2 === 0 ? new Map() : null,
    };
    while (!stop.aborted) {
      const next = performance.now() + PACE_MS * (0.5 + this.#random());
      const isDone = await this.#step(client, oneOf(this.#random, this.#collections), this.#draw());
      await pause(Math.max(isDone ? 0 : REFUSED_PAUSE_MS, next - performance.now()));
    }
  }

  #draw(): Request {
    const random = this.#random;
    const ids = IDS.filter(() => random() < 0.25);
    const some = ids.length === 0 ? [oneOf(random, IDS)] : ids;
    const at = random();
    const level = oneOf(random, ['primary', 'primary', 'primary', 'quorum', 'all', 'log']);
    if (at < 0.25) return { does: 'upsert', ids: some, value: ++values, level };
    if (at < 0.33) return { does: 'add', ids: some, value: ++values, level };
    if (at < 0.4) return { does: 'update', ids: some, value: ++values, level };
    if (at < 0.48) return { does: 'delete', ids: some, level };
    if (at < 0.5) return { does: 'delete_where', color: oneOf(random, ['red', 'green']) };
    const guarantee = oneOf<Guarantee>(random, ['session', 'session', 'strong', 'strong', 'eventual']);
    return { does: 'get', ids: random() < 0.5 ? some : IDS, guarantee };
  }

  /** Whether the request was carried out. */
  async #step(client: Client, collection: string, request: Request): Promise<boolean> {
    const invokedAt = performance.now();
    const { action, body, headers } = wireOf(request);
    const lsn = client.echoes?.get(collection);
    const echo = lsn === undefined ? {} : { 'x-polychrome-lsn': String(lsn) };
    const path = recordsPath(collection, action);
    const exchange = await client.roaming.exchange('POST', path, body, { ...headers, ...echo });
    const returnedAt = performance.now();
    const outcome = outcomeOf(exchange);
    const { response, gateway } = exchange;
    const status = response === null ? 'no response' : String(response.status);
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    if (outcome === 'ok') this.pauses[request.does === 'get' ? 'read' : 'write'].succeeded(returnedAt);
    const seen = Number(response?.headers.get('x-polychrome-lsn') ?? 0);
    if (seen > (lsn ?? 0)) client.echoes?.set(collection, seen);
    // At level "log" an entry that no node can apply is quarantined after its acknowledgement (docs/guarantees.md).
    const mayEnd = 'level' in request && request.level === 'log' && outcome === 'ok';
    const shared = {
      client: client.name,
      gateway: response === null ? null : gateway,
      invokedAt,
      returnedAt: response === null ? null : returnedAt,
      outcome: mayEnd ? ('indeterminate' as const) : outcome,
      guarantee: request.does === 'get' ? request.guarantee : ('eventual' as const),
      echoes: client.echoes !== null,
    };
    try {
      for (const [id, effect] of effectsOf(request, response?.status === 200 ? response.text : null))
        this.observed.push({ ...shared, record: `${collection} ${id}`, effect });
    } catch (error) {
      this.wrong.push(`${client.name} through ${gateway}: ${(error as Error).message}`);
    }
    return outcome === 'ok';
  }
}

const READ_ALL_MS = 60_000;

interface Client {
  readonly name: string;
  readonly roaming: Roaming;
  /** Highest LSN of each collection that a response named; null for a client that does not echo it. */
  readonly echoes: Map<string, number> | null;
}

type Request =
  | {
      readonly does: 'add' | 'upsert' | 'update';
      readonly ids: readonly string[];
      readonly value: number;
      readonly level: string;
    }
  | { readonly does: 'delete'; readonly ids: readonly string[]; readonly level: string }
  | { readonly does: 'delete_where'; readonly color: string }
  | { readonly does: 'get'; readonly ids: readonly string[]; readonly guarantee: Guarantee };

function wireOf(request: Request): {
  readonly action: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
} {
  switch (request.does) {
    case 'add':
    case 'upsert':
    case 'update': {
      const { ids, value, level, does } = request;
      const each = (text: string): string => `[${ids.map(() => text).join(',')}]`;
      const document = JSON.stringify(documentFor(value));
      const metadata = `{"n":${value},"big":${LARGE_INTEGER}}`;
      const body = `{"ids":${JSON.stringify(ids)},"embeddings":${each(`[${value},1.0]`)},"documents":${each(document)},"metadatas":${each(metadata)}}`;
      return { action: does, body, headers: { 'x-polychrome-ack': level } };
    }
    case 'delete':
      return {
        action: 'delete',
        body: JSON.stringify({ ids: request.ids }),
        headers: { 'x-polychrome-ack': request.level },
      };
    case 'delete_where':
      return {
        action: 'delete',
        body: JSON.stringify({ where_document: { $contains: request.color } }),
        headers: {},
      };
    case 'get':
      return {
        action: 'get',
        body: JSON.stringify({ ids: request.ids, include: ['documents', 'metadatas', 'embeddings'] }),
        headers: { 'x-polychrome-consistency': request.guarantee },
      };
  }
}

/** What the request does to each record, or saw of it. Throws when a record is of several writes. */
function effectsOf(request: Request, text: string | null): [string, Effect][] {
  switch (request.does) {
    case 'add':
    case 'upsert':
    case 'update': {
      const does = request.does === 'upsert' ? 'set' : request.does;
      return request.ids.map((id) => [id, { does, value: request.value }]);
    }
    case 'delete':
      return request.ids.map((id) => [id, { does: 'delete' }]);
    case 'delete_where': {
      const matches = (value: number): boolean => colorOf(value) === request.color;
      return IDS.map((id) => [id, { does: 'delete_if', matches }]);
    }
    case 'get': {
      if (text === null) return [];
      const content = contentIn(text);
      return request.ids.map((id) => [id, { does: 'read', saw: content.get(id) ?? null }]);
    }
  }
}

function outcomeOf({ response, isRefused }: Exchange): Outcome {
  if (response === null) return isRefused ? 'refused' : 'indeterminate';
  if (response.status < 300) return 'ok';
  const isUnchanged = response.headers.has('retry-after') || response.text.includes('othing was changed');
  return response.status < 500 || isUnchanged ? 'refused' : 'indeterminate';
}

/** The longest time without a success while clients sent requests. */
class Pauses {
  /** Null while they send none. */
  #lastMs: number | null = null;
  longestMs = 0;

  begin(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  succeeded(nowMs: number): void {
    if (this.#lastMs === null) return;
    this.longestMs = Math.max(this.longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** A pause that has not ended counts, too. */
  end(nowMs: number): void {
    this.succeeded(nowMs);
    this.#lastMs = null;
  }
}
