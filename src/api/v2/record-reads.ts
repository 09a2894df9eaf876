// The handlers of get, query and count: from the cache when it still holds the truth, else from a node; queries that
// differ only in their vectors go together.

import { isUtf8 } from 'node:buffer';
import type { Collection } from '../../catalog/catalog.ts';
import { onlyShard } from '../../catalog/only-shard.ts';
import { recordsPath } from '../../chroma/protocol/paths.ts';
import { scanGetCall, type GetCall } from '../../chroma/batch/get-call.ts';
import { DEFAULT_LIMITS, filterRefusal, type FilterLimits } from '../../chroma/parse/filter-limits.ts';
import { LargeScanner, type Outlined } from '../../chroma/parse/large-scanner.ts';
import { wrongDimension } from '../../chroma/protocol/messages.ts';
import { scanQueryCall, type QueryCall } from '../../chroma/batch/query-call.ts';
import { outlineOf, withOneResult, type RequestOutline } from '../../chroma/parse/request-outline.ts';
import { PolychromeError } from '../../errors.ts';
import type { HttpResponse } from '../../http/response.ts';
import { refusalResponse } from './error-responses.ts';
import type { BodyProbe } from './body-probe.ts';
import type { Metric } from '../../observability/metrics-registry.ts';
import { Coalescer } from '../../read/coalescer.ts';
import { emptyQueryAnswer, withoutRows } from './empty-query.ts';
import type { SessionFloors } from '../../read/session-floors.ts';
import { Gets } from '../../read/gets.ts';
import type { Names } from './resolve.ts';
import { Queries } from '../../read/queries.ts';
import { Preloader } from '../../read/preloader.ts';
import { bufferedBody, type Reader } from '../../read/reader.ts';
import type { RecordCache } from '../../read/record-cache.ts';
import { ResultCache } from '../../read/result-cache.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';
import type { ShardLSNs } from '../../read/shard-lsns.ts';
import type { Clock } from '../../util/clock.ts';

/** What a read must see. */
export type Consistency = 'session' | 'eventual';

type RecordRead = 'get' | 'query';
type Action = RecordRead | 'count';

export interface RecordReadsOptions {
  readonly reader: Reader;
  readonly names: Names;
  readonly judge: BodyProbe;
  /** Reads bodies that are too large for the event loop. */
  readonly scanner?: LargeScanner;
  readonly filterLimits?: FilterLimits;
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
// Larger bodies are read on a thread: the event loop would be held for more than 4 ms.
const SCANNED_BODY_MAX = 2 * 1024 * 1024;
// A merged call brings up to 1,000 ids more, and must stay within the same limits.
const COALESCED_OPERANDS_MAX = 16_000;
// Maximum number of bodies for missing collections that nodes validate at one time; beyond it the response is that the
// collection is missing.
const JUDGING_MAX = 4;

export class RecordReads {
  readonly #options: RecordReadsOptions;
  readonly #scanner: LargeScanner;
  readonly #queries: Coalescer<QueryCall>;
  readonly #gets: Coalescer<GetCall>;
  /** Bodies that are being shown to a node. */
  #judging = 0;

  constructor(options: RecordReadsOptions) {
    const { clock, reader, records, serving, stopped } = options;
    const callsMax = (): number => Math.max(1, serving()) * CALLS_PER_NODE;
    this.#options = options;
    this.#scanner = options.scanner ?? new LargeScanner();
    const preloader = new Preloader({ reader, records, clock, stopped });
    this.#queries = new Coalescer({ kind: new Queries(reader, records, preloader), clock, callsMax });
    this.#gets = new Coalescer({ kind: new Gets(reader), clock, callsMax });
  }

  /** What coalescing and what is kept gain. */
  get counts(): {
    cache: Gain;
    records: Gain & { projected: number; preloaded: number };
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

  get metrics(): readonly Metric[] {
    const counter = (name: 'reads' | 'calls', help: string): Metric => ({
      kind: 'counter',
      name,
      help,
      unit: name,
      read: () => this.#queries.counts[name] + this.#gets.counts[name],
    });
    return [
      counter('reads', 'Reads that can share a call to a node.'),
      counter('calls', 'Calls to nodes for these reads.'),
    ];
  }

  readonly handlers: Readonly<Record<Action, Handler>> = {
    get: (request) => this.#read('get', request),
    query: (request) => this.#read('query', request),
    count: (request) => this.#read('count', request),
  };

  async #read(action: Action, request: ClientRequest): Promise<HttpResponse> {
    const { names, floors, heads, cache } = this.#options;
    let collection: Collection;
    try {
      collection = await names.byId(request.params);
    } catch (error) {
      const isMissing = error instanceof PolychromeError && error.code === 'not_found';
      const refusal = isMissing && action !== 'count' ? await this.#judged(action, request) : null;
      if (refusal !== null) return refusal;
      throw error;
    }
    const shard = onlyShard(collection);
    const session = consistencyAsked(request, this.#options.consistency) === 'session';
    const floor = Math.max(session ? floors.shard(shard.id) : 0, this.#lsnAsked(request));
    if (!cache.isEnabled || request.body.length > CACHED_BODY_MAX)
      return this.#ask(action, collection, floor, request);

    const search = searchOf(request);
    const key = ResultCache.key(shard.id, action + search, request.body);
    const kept = cache.find(key, Math.max(heads.get(shard.id), floor));
    if (kept !== null) return { status: 200, body: kept.body, headers: lsnHeader(kept.label) };
    const { generation } = cache;
    const answer = await this.#ask(action, collection, floor, request);
    const buffered = bufferedBody(answer);
    if (buffered !== null) cache.store(key, { body: buffered.body, label: buffered.applied }, generation);
    return answer;
  }

  /**
   * A server reads the body before it looks for the collection. Clients that go on asking for a missing collection must
   * not be work for the nodes: a plainly valid body is not shown to a node, and of the others a few at a time.
   */
  async #judged(action: RecordRead, request: ClientRequest): Promise<HttpResponse | null> {
    const { outline, body, isLarge } = await this.#scanner.outline(action, request.body);
    const refusal = filterRefusal(outline.filter, this.#limits);
    if (refusal !== null) return refusalResponse(refusal);
    const { zeroResults } = outline;
    const asked = zeroResults === null ? body : withOneResult(body, zeroResults);
    if (this.#judging >= JUDGING_MAX || (!isLarge && isPlain(scanned(action, asked), outline))) return null;
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

  /** The response of a node, asked for once the body is known to keep the limits. */
  async #ask(
    action: Action,
    collection: Collection,
    floor: number,
    request: ClientRequest,
  ): Promise<HttpResponse> {
    const shard = onlyShard(collection);
    if (action === 'count') return this.#send(action, collection, { floor, isPaged: false }, request, null);
    const query = action === 'query' ? scanSmallQuery(request.body) : null;
    const { outline, body, isLarge } =
      query === null ? await this.#scanner.outline(action, request.body) : outlinedQuery(query);
    const refusal = filterRefusal(outline.filter, this.#limits);
    if (refusal !== null) return refusalResponse(refusal);
    if (action === 'query' && outline.zeroResults !== null)
      return this.#noRows(collection, floor, request, { outline, body, isLarge });
    if (request.query.size === 0 && !isLarge && outline.filter.operands <= COALESCED_OPERANDS_MAX) {
      const target = { shard: shard.id, collection };
      // A vector of the wrong length would spoil the call for the others.
      if (query !== null && query.dimension === shard.dimension)
        return this.#queries.read(target, { call: query, floor, signal: request.signal });
      const get = action === 'get' ? scanGetCall(body) : null;
      if (get !== null) return this.#gets.read(target, { call: get, floor, signal: request.signal });
    }
    const isPaged = action === 'get' && outline.isPaged;
    return this.#send(action, collection, { floor, isPaged }, request, body);
  }

  #send(
    action: Action,
    collection: Collection,
    { floor, isPaged }: { readonly floor: number; readonly isPaged: boolean },
    request: ClientRequest,
    body: Buffer | null,
  ): Promise<HttpResponse> {
    return this.#options.reader.read(
      // The order of records may differ between nodes after a rebuild, so the pages of one scan come from one node.
      { shard: onlyShard(collection).id, floor, sticky: isPaged },
      {
        method: body === null ? 'GET' : 'POST',
        path: (physical) => recordsPath(collection, physical, action) + searchOf(request),
        ...(body === null ? {} : { body }),
      },
      request.signal,
    );
  }

  /** A query for zero rows reaches no node; with a filter, which only a node can validate, one row is asked for. */
  async #noRows(
    collection: Collection,
    floor: number,
    request: ClientRequest,
    { outline, body, isLarge }: Outlined,
  ): Promise<HttpResponse> {
    const asked = outline.zeroResults === null ? body : withOneResult(body, outline.zeroResults);
    const call = isLarge ? null : scanQueryCall(asked);
    if (call === null || !isPlain(call, outline)) {
      const answer = await this.#send('query', collection, { floor, isPaged: false }, request, asked);
      return withoutRows(answer, outline);
    }
    const { dimension } = onlyShard(collection);
    if (dimension !== null && dimension !== call.dimension) throw wrongDimension(dimension, call.dimension);
    return { status: 200, body: emptyQueryAnswer(outline), headers: lsnHeader(floor) };
  }

  get #limits(): FilterLimits {
    return this.#options.filterLimits ?? DEFAULT_LIMITS;
  }
}

const lsnHeader = (lsn: number): Record<string, string> => ({ 'x-polychrome-lsn': String(lsn) });

/** Whether any server can read the call: it scans, and holds no condition and no field that only a server knows. */
function isPlain(call: GetCall | QueryCall | null, outline: RequestOutline): boolean {
  return call !== null && outline.isPlain && isUtf8(call.body);
}

const scanned = (action: RecordRead, body: Buffer): GetCall | QueryCall | null =>
  action === 'get' ? scanGetCall(body) : scanQueryCall(body);

function scanSmallQuery(body: Buffer): QueryCall | null {
  return body.length > SCANNED_BODY_MAX ? null : scanQueryCall(body);
}

/** Everything but the vectors, which were read already, makes the outline. */
function outlinedQuery({ body, key, count }: QueryCall): Outlined {
  const outline = outlineOf('query', Buffer.from(key.replace('\u0000', ''), 'latin1'));
  return { outline: { ...outline, vectors: count }, body, isLarge: false };
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
