// Writers of every kind that record what each response promised, and the comparison of every node with these promises.
// A unit is what one write changes, so that its value is whole or absent.

import { setTimeout as pause } from 'node:timers/promises';
import type { ChromaHttp, TextResponse } from './chroma-http.ts';

/** The promise of the response to a write. */
type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** Records as `id=document`, sorted; collections and databases by name. '' when absent. */
type Value = string;

/** The nodes to compare, such as those of a TestCluster. */
interface Subject {
  readonly local: { readonly nodes: readonly { readonly id: string }[] };
  readonly node: (id: string) => ChromaHttp;
  /** Rebuilt copies have names of their own. */
  readonly copyNames?: () => Promise<NameOf>;
}

type NameOf = (id: string, name: string) => string | null;

interface Step {
  readonly unit: string;
  readonly apply: (value: Value) => Value;
  readonly send: () => Promise<TextResponse>;
}

const DATABASES = '/api/v2/tenants/default_tenant/databases';
const DIMENSION = 2;
const RETRY_MS = 20;

/**
 * With the default, a stock server's index loses records that change often (docs/chroma-behaviour.md#records-that-no-query-finds),
 * which a scrub finds.
 */
const THOROUGH_INDEX = { max_neighbors: 256, ef_construction: 256, ef_search: 256 };

export class CheckedWorkload {
  readonly #api: () => ChromaHttp;
  readonly #name: string;
  readonly #collection: string;
  readonly #possible = new Map<string, Set<Value>>();
  readonly #statuses = new Map<string, number>();
  /** Responses that no fault explains. */
  readonly unexpected: string[] = [];
  /** Responses that neither accept a write nor refuse it as invalid. */
  readonly failed: string[] = [];
  /** Responses to writes that took longer than `lateMs`. */
  readonly late: string[] = [];
  /** Responses, or lost connections, after which the outcome of a write is unknown. */
  readonly outcomeUnknown: string[] = [];
  acknowledged = 0;
  lateMs = Infinity;
  /** Whether a write whose connection ended without a response must not have been executed. */
  cutIsRefused = false;

  private constructor(api: () => ChromaHttp, name: string, collection: string) {
    this.#api = api;
    this.#name = name;
    this.#collection = collection;
  }

  /** `name` is the prefix of every name and id of this workload only. */
  static async prepare(api: () => ChromaHttp, name: string): Promise<CheckedWorkload> {
    return new CheckedWorkload(
      api,
      name,
      await api().create(`${name}-records`, { configuration: { hnsw: THOROUGH_INDEX } }),
    );
  }

  /** Number of responses to writes by status. */
  get statuses(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#statuses);
  }

  /** Writes until `stop` aborts, or until the gateway does not respond if `giveUp` is set. */
  async run(stop: AbortSignal, giveUp = false): Promise<void> {
    const kinds = [adds, upserts, updates, deletesById, deletesByWhere, schemaChanges, databases, mistakes];
    await Promise.all(
      kinds.flatMap((kind) =>
        [0, 1].map((copy) => this.#write(kind, `${this.#name}-${kind.name}${copy}`, stop, giveUp)),
      ),
    );
  }

  /** Adds enough records that their delete is sent in chunks. */
  async prepareBulk(count: number): Promise<void> {
    const ids = Array.from({ length: count }, (_, n) => `${this.#name}-bulk/${n}`);
    for (let at = 0; at < count; at += 3_000) {
      const part = ids.slice(at, at + 3_000);
      const body = { ...records(part, 'bulk'), metadatas: part.map(() => ({ unit: `${this.#name}-bulk` })) };
      const response = await this.#api().records(this.#collection, 'add', body);
      if (response.status !== 201) throw new Error(`${response.status} ${response.text}`);
    }
    this.#possible.set(`${this.#name}-bulk`, new Set([valueOf(ids, 'bulk')]));
  }

  /** One call that goes to nodes in parts. */
  async addLarge(count: number): Promise<void> {
    const unit = `${this.#name}-large`;
    const ids = Array.from({ length: count }, (_, n) => `${unit}/${n}`);
    const body = { ...records(ids, 'large'), metadatas: ids.map(() => ({ unit })) };
    await this.#step({
      unit,
      apply: () => valueOf(ids, 'large'),
      send: () => this.#api().records(this.#collection, 'add', body),
    });
  }

  async deleteBulk(): Promise<void> {
    await this.#step(deleteWhere(this.#target, `${this.#name}-bulk`));
  }

  get #target(): Target {
    return { api: this.#api, collection: this.#collection };
  }

  async #write(kind: Kind, writer: string, stop: AbortSignal, giveUp: boolean): Promise<void> {
    for (let n = 0; !stop.aborted; n++) {
      for (const step of kind(this.#target, writer, n)) {
        const { outcome, gone } = await this.#step(step);
        if (gone && giveUp) return;
        // As a client that retries later.
        if (outcome !== 'acknowledged') await pause(RETRY_MS);
        // Later steps need this one.
        if (outcome !== 'acknowledged') break;
      }
    }
  }

  async #step({ unit, apply, send }: Step): Promise<{ outcome: Outcome; gone: boolean }> {
    const before = this.#possible.get(unit) ?? new Set<Value>(['']);
    const after = [...before].map(apply);
    // Recorded before it is sent: both values are possible meanwhile.
    this.#possible.set(unit, new Set([...before, ...after]));
    const sentAt = performance.now();
    const { outcome: promised, gone, text } = await outcomeOf(send);
    const outcome = gone && this.cutIsRefused ? 'refused' : promised;
    const tookMs = performance.now() - sentAt;
    if (tookMs > this.lateMs) this.late.push(`${Math.round(tookMs)} ms: ${text}`);
    this.#statuses.set(text.slice(0, 3), (this.#statuses.get(text.slice(0, 3)) ?? 0) + 1);
    if (outcome === 'acknowledged') this.acknowledged += 1;
    if (outcome === 'unknown') this.outcomeUnknown.push(text);
    if (!/^[24]/.test(text)) this.failed.push(text);
    if (outcome !== 'unknown') this.#possible.set(unit, outcome === 'refused' ? before : new Set(after));
    if (/^5(?!03)/.test(text)) this.unexpected.push(text);
    return { outcome, gone };
  }

  /** Broken promises and differences between nodes; [] when all is well. */
  async faults(cluster: Subject): Promise<string[]> {
    const faults = [...this.unexpected];
    const nameOf = await cluster.copyNames?.();
    const read = async (id: string): Promise<[string, string]> => [
      id,
      await contentOf(cluster.node(id), nameOf),
    ];
    const holds = new Map(await Promise.all(cluster.local.nodes.map(({ id }) => read(id))));
    const [first = ['', '']] = holds;
    for (const [id, content] of holds) {
      if (content !== first[1])
        faults.push(`${id} differs from ${first[0]}: ${difference(first[1], content)}`);
    }
    const values = unitsIn(first[1], this.#name);
    for (const [unit, possible] of this.#possible) {
      const value = values.get(unit) ?? '';
      if (!possible.has(value))
        faults.push(
          `${unit} is "${value}", should be ${[...possible].map((each) => `"${each}"`).join(' or ')}`,
        );
    }
    for (const unit of values.keys()) if (!this.#possible.has(unit)) faults.push(`${unit} was never written`);
    return faults;
  }
}

async function outcomeOf(
  send: () => Promise<TextResponse>,
): Promise<{ outcome: Outcome; gone: boolean; text: string }> {
  try {
    const { status, text, headers } = await send();
    const line = `${status} ${text}`;
    // Durable, and so equal to acknowledged: only the level was not reached in time.
    if (status < 300 || text.includes('durable at LSN'))
      return { outcome: 'acknowledged', gone: false, text: line };
    const unchanged = status < 500 || headers.has('retry-after');
    return { outcome: unchanged ? 'refused' : 'unknown', gone: false, text: line };
  } catch (error) {
    const code = (error as { cause?: { code?: string } }).cause?.code ?? '';
    return { outcome: code === 'ECONNREFUSED' ? 'refused' : 'unknown', gone: true, text: `--- ${code}` };
  }
}

interface Target {
  readonly api: () => ChromaHttp;
  readonly collection: string;
}

/** The steps of the n-th turn of a writer; each is sent when the previous one was acknowledged. */
type Kind = (target: Target, writer: string, n: number) => Iterable<Step>;

const idsOf = (unit: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${unit}/${n}`);
const valueOf = (ids: readonly string[], document: string): Value =>
  ids
    .map((id) => `${id}=${document}`)
    .sort()
    .join(' ');

const records = (ids: readonly string[], document: string): object => ({
  ids,
  embeddings: ids.map((_, n) => [n, 1]),
  documents: ids.map(() => document),
});

function put(
  target: Target,
  action: 'add' | 'upsert' | 'update',
  unit: string,
  ids: string[],
  n: number,
): Step {
  const document = `${action}${n}`;
  const body = { ...records(ids, document), metadatas: ids.map(() => ({ unit })) };
  return {
    unit,
    apply: (value) => (action === 'update' && value === '' ? '' : valueOf(ids, document)),
    send: () => target.api().records(target.collection, action, body),
  };
}

function deleteWhere({ api, collection }: Target, unit: string): Step {
  return { unit, apply: () => '', send: () => api().records(collection, 'delete', { where: { unit } }) };
}

const adds: Kind = (target, writer, n) => [
  put(target, 'add', `${writer}:${n}`, idsOf(`${writer}:${n}`, 3), n),
];

const upserts: Kind = (target, writer, n) => {
  const unit = `${writer}:${n % 4}`;
  return [put(target, 'upsert', unit, idsOf(unit, 2), n)];
};

const updates: Kind = (target, writer, n) => {
  const unit = `${writer}:${n % 3}`;
  return [put(target, n < 3 ? 'add' : 'update', unit, idsOf(unit, 2), n)];
};

const deletesById: Kind = (target, writer, n) => {
  const unit = `${writer}:${n}`;
  const ids = idsOf(unit, 4);
  const kept = [ids[0]!, ids[3]!];
  const send = (): Promise<TextResponse> =>
    target.api().records(target.collection, 'delete', { ids: ids.slice(1, 3) });
  const apply = (value: Value): Value => (value === '' ? '' : valueOf(kept, `add${n}`));
  return [put(target, 'add', unit, ids, n), { unit, apply, send }];
};

const deletesByWhere: Kind = (target, writer, n) => {
  const unit = `${writer}:${n}`;
  return [put(target, 'add', unit, idsOf(unit, 3), n), deleteWhere(target, unit)];
};

// eslint-disable-next-line func-style -- a generator: the id of a collection is known once it was created
function* schemaChanges({ api }: Target, writer: string, n: number): Generator<Step> {
  const unit = `${writer}.${n}`;
  const [first, second] = [`${unit}.first`, `${unit}.second`];
  const at = `${DATABASES}/default_database/collections`;
  let id = '';
  const create = async (): Promise<TextResponse> => {
    const response = await api().call('POST', at, { name: first });
    if (response.status === 200) id = (JSON.parse(response.text) as { id: string }).id;
    return response;
  };
  yield { unit, apply: () => first, send: create };
  yield {
    unit,
    apply: (value) => (value === '' ? '' : second),
    send: () => api().call('PUT', `${at}/${id}`, { new_name: second }),
  };
  if (n % 2 === 0) return;
  yield { unit, apply: () => '', send: () => api().call('DELETE', `${at}/${second}`) };
}

const databases: Kind = ({ api }, writer, n) => {
  const unit = `${writer}.${n}`;
  const create = { unit, apply: () => unit, send: () => api().call('POST', DATABASES, { name: unit }) };
  const drop = { unit, apply: () => '', send: () => api().call('DELETE', `${DATABASES}/${unit}`) };
  return n % 2 === 0 ? [create] : [create, drop];
};

/** Writes that must always be refused; each follows a valid one, which limits their rate. */
const mistakes: Kind = (target, writer, n) => {
  const { api, collection } = target;
  const [good, bad] = [`${writer}:good`, `${writer}:bad${n % 4}`];
  const body = { ids: [`${bad}/0`], embeddings: [Array.from({ length: DIMENSION + 1 }, () => 1)] };
  return [
    put(target, 'upsert', good, idsOf(good, 1), n),
    { unit: bad, apply: () => 'taken', send: () => api().records(collection, 'add', body) },
  ];
};

/** The whole content of a server in the order of its records; databases by name. */
async function contentOf(node: ChromaHttp, nameOf?: NameOf): Promise<string> {
  const { text } = await node.call('GET', DATABASES);
  const names = (JSON.parse(text) as { name: string }[]).map(({ name }) => `database ${name}`);
  return [...names.sort(), await node.everything(nameOf)].join('\n');
}

function difference(expected: string, found: string): string {
  const [a, b] = [expected.split('\n'), found.split('\n')];
  const at = a.findIndex((line, index) => line !== b[index]);
  return `line ${at}: ${a[at] ?? '(end)'} | ${b[at < 0 ? a.length : at] ?? '(end)'}`;
}

function unitsIn(content: string, name: string): Map<string, Value> {
  const found = new Map<string, string[]>();
  const note = (unit: string, what: string): void => void found.set(unit, [...(found.get(unit) ?? []), what]);
  for (const line of content.split('\n')) {
    if (line.startsWith(`["${name}-`)) {
      const [id, document] = JSON.parse(line) as [string, string];
      note(id.slice(0, id.lastIndexOf('/')), `${id}=${document}`);
    } else if (line.startsWith(`database ${name}-`)) {
      const unit = line.slice('database '.length);
      note(unit, unit);
    } else if (line.startsWith(`== ${name}-schemaChanges`)) {
      const collection = line.split(' ')[1]!;
      note(collection.slice(0, collection.lastIndexOf('.')), collection);
    }
  }
  return new Map([...found].map(([unit, parts]) => [unit, parts.sort().join(' ')]));
}
