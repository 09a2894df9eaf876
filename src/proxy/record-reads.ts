// The handlers of get, query and count: from the cache when it still holds the truth, else from a node; queries that
// differ only in their vectors go together.

import { isUtf8 } from 'node:buffer';
import type { Collection } from '../catalog/catalog.ts';
import { recordsPath } from '../chroma/paths.ts';
import { scanGetCall, type GetCall } from '../chroma/get-call.ts';
import { scanQueryCall, type QueryCall } from '../chroma/query-call.ts';
import { readTopLevel } from '../chroma/rewrite.ts';
import { isRefusal } from '../chroma/scanner.ts';
import { PolychromeError } from '../errors.ts';
import type { Answer } from './answer.ts';
import type { BodyJudge } from './body-judge.ts';
import { Coalescer } from './coalescer.ts';
import type { SessionFloors } from './floors.ts';
import { Gets } from './gets.ts';
import type { Names } from './names.ts';
import { Queries } from './queries.ts';
import { ReadAhead } from './read-ahead.ts';
import { wholeBody, type Reader } from './reads.ts';
import type { RecordCache } from './record-cache.ts';
import { shardOf } from './record-writes.ts';
import { ResultCache } from './result-cache.ts';
import type { ClientRequest, Handler } from './server.ts';
import type { ShardLSNs } from './shard-lsns.ts';
import type { Clock } from '../util/clock.ts';

/** What a read must see. */
export type Consistency = 'session' | 'eventual';

type Action = 'get' | 'query' | 'count';

export interface RecordReadsOptions {
  readonly reader: Reader;
  readonly names: Names;
  readonly judge: BodyJudge;
  readonly floors: SessionFloors;
  /** LSN of the last entry of each shard this gateway knows of. */
  readonly heads: ShardLSNs;
  readonly cache: ResultCache;
  readonly records: RecordCache;
  readonly consistency: Consistency;
  /** LSN of the log's last entry. */
  readonly head: () => number;
  /** Nodes that serve, at this moment. */
  readonly serving: () => number;
  readonly clock: Clock;
  /** Aborts when the gateway stops. */
  readonly stopped: AbortSignal;
}

interface Gain {
  readonly hits: number;
  readonly misses: number;
  readonly bytes: number;
}

// One call under way for each node: a second one splits what could go together (docs/performance.md).
const CALLS_PER_NODE = 1;
// Larger questions are hardly asked twice, and to hash the largest would hold the event loop for tens of milliseconds.
const CACHED_BODY_MAX = 256 * 1024;
// Bodies for missing collections shown to nodes at one time; who comes then is told that the collection is missing.
const JUDGING_MAX = 4;

export class RecordReads {
  readonly #options: RecordReadsOptions;
  readonly #queries: Coalescer<QueryCall>;
  readonly #gets: Coalescer<GetCall>;
  /** Bodies that are being shown to a node. */
  #judging = 0;

  constructor(options: RecordReadsOptions) {
    const { clock, reader, records, serving, stopped } = options;
    const callsMax = (): number => Math.max(1, serving()) * CALLS_PER_NODE;
    this.#options = options;
    const ahead = new ReadAhead({ reader, records, clock, stopped });
    this.#queries = new Coalescer({ kind: new Queries(reader, records, ahead), clock, callsMax });
    this.#gets = new Coalescer({ kind: new Gets(reader), clock, callsMax });
  }

  /** What coalescing and what is kept gain. */
  get counts(): {
    cache: Gain;
    records: Gain & { lean: number; ahead: number };
    coalesced: { calls: number; reads: number };
  } {
    const { cache, records } = this.#options;
    const [queries, gets] = [this.#queries.counts, this.#gets.counts];
    return {
      cache: { ...cache.counts, bytes: cache.bytes },
      records: { ...records.counts, bytes: records.bytes },
      coalesced: { calls: queries.calls + gets.calls, reads: queries.reads + gets.reads },
    };
  }

  readonly handlers: Readonly<Record<Action, Handler>> = {
    get: (request) => this.#read('get', request),
    query: (request) => this.#read('query', request),
    count: (request) => this.#read('count', request),
  };

  async #read(action: Action, request: ClientRequest): Promise<Answer> {
    const { names, floors, heads, cache } = this.#options;
    let collection: Collection;
    try {
      collection = await names.byId(request.params);
    } catch (error) {
      const isMissing = error instanceof PolychromeError && error.code === 'not_found';
      const refusal = isMissing && action !== 'count' ? await this.#judged(action, request.body) : null;
      if (refusal !== null) return refusal;
      throw error;
    }
    const shard = shardOf(collection);
    const session = consistencyAsked(request, this.#options.consistency) === 'session';
    const floor = Math.max(session ? floors.shard(shard.id) : 0, this.#lsnAsked(request));
    if (!cache.enabled || request.body.length > CACHED_BODY_MAX)
      return this.#ask(action, collection, floor, request);

    const search = searchOf(request);
    const key = ResultCache.key(shard.id, action + search, request.body);
    const kept = cache.find(key, Math.max(heads.get(shard.id), floor));
    if (kept !== null) return { status: 200, body: kept.body, headers: lsnHeader(kept.label) };
    const { generation } = cache;
    const answer = await this.#ask(action, collection, floor, request);
    const whole = wholeBody(answer);
    if (whole !== null) cache.keep(key, { body: whole.body, label: whole.applied }, generation);
    return answer;
  }

  /**
   * A server reads the body before it looks for the collection. Clients that go on asking for one that is gone must not
   * be work for the nodes: what is plainly sound nobody is asked about, and of the rest a few at a time.
   */
  async #judged(action: 'get' | 'query', body: Buffer): Promise<Answer | null> {
    if (this.#judging >= JUDGING_MAX || isPlain(action === 'get' ? scanGetCall(body) : scanQueryCall(body)))
      return null;
    this.#judging += 1;
    try {
      return await this.#options.judge.refusalOf(action, body);
    } finally {
      this.#judging -= 1;
    }
  }

  /** A client that gives back the LSN of an earlier answer sees nothing older, through whichever gateway. */
  #lsnAsked({ headers }: ClientRequest): number {
    const asked = headers['x-polychrome-lsn'];
    if (asked === undefined) return 0;
    const head = this.#options.head();
    if (typeof asked === 'string' && /^\d{1,15}$/.test(asked) && Number(asked) <= head) return Number(asked);
    throw new PolychromeError(
      'invalid_argument',
      `x-polychrome-lsn must be an LSN as given in an earlier answer; the log ends at ${head}.`,
    );
  }

  #ask(action: Action, collection: Collection, floor: number, request: ClientRequest): Promise<Answer> {
    const shard = shardOf(collection);
    if (action === 'query') {
      const call = scanQueryCall(request.body);
      // A vector of the wrong length would spoil the call for the others.
      if (call !== null && call.dimension === shard.dimension && request.query.size === 0) {
        return this.#queries.read({ shard: shard.id, collection }, call, floor, request.signal);
      }
    }
    if (action === 'get') {
      const call = scanGetCall(request.body);
      if (call !== null && request.query.size === 0) {
        return this.#gets.read({ shard: shard.id, collection }, call, floor, request.signal);
      }
    }
    return this.#options.reader.read(
      { shard: shard.id, floor, sticky: action === 'get' && isPaged(request.body) },
      {
        method: action === 'count' ? 'GET' : 'POST',
        path: (physical) => recordsPath(collection, physical, action) + searchOf(request),
        ...(action === 'count' ? {} : { body: request.body }),
      },
      request.signal,
    );
  }
}

const lsnHeader = (lsn: number): Record<string, string> => ({ 'x-polychrome-lsn': String(lsn) });

const CONTENTS = new Set(['documents', 'embeddings', 'metadatas', 'uris', 'distances']);
const NULLABLE = new Set(['where', 'where_document', 'limit', 'offset']);

/** Whether any server can read the call: it scans, and holds no condition and no field that only a server knows. */
function isPlain(call: GetCall | QueryCall | null): boolean {
  if (call === null || !isUtf8(call.body)) return false;
  // The key is the body with its ids, or vectors, taken out; these were looked at.
  const fields = JSON.parse(call.key.replace('\u0000', '')) as Record<string, unknown>;
  return Object.entries(fields).every(([name, value]) => {
    if (name === 'ids' || name === 'query_embeddings') return Array.isArray(value) && value.length === 0;
    if (name === 'include')
      return Array.isArray(value) && value.every((item) => CONTENTS.has(item as string));
    return value === null ? NULLABLE.has(name) : name === 'n_results' && 'rowsPerVector' in call;
  });
}

// The order of records may differ between nodes after a rebuild, so the pages of one scan come from one node.
function isPaged(body: Buffer): boolean {
  const fields = readTopLevel(body, ['limit', 'offset']);
  return !isRefusal(fields) && [...fields.values()].some(({ type }) => type !== 'null');
}

function searchOf({ query }: ClientRequest): string {
  return query.size === 0 ? '' : `?${query.toString()}`;
}

function consistencyAsked(request: ClientRequest, fallback: Consistency): Consistency {
  const asked = request.headers['x-polychrome-consistency'];
  if (asked === undefined) return fallback;
  if (asked === 'session' || asked === 'eventual') return asked;
  throw new PolychromeError('invalid_argument', 'x-polychrome-consistency must be session or eventual.');
}
