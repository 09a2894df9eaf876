// The handlers of get, query and count: from the result cache while its response is current, else from a node.

import { isUtf8 } from 'node:buffer';
import type { Collection } from '../../catalog/catalog.ts';
import { onlyShard } from '../../catalog/only-shard.ts';
import { recordsPath } from '../../chroma/protocol/paths.ts';
import { scanGetCall, type GetCall } from '../../chroma/batch/get-call.ts';
import { DEFAULT_FILTER_LIMITS, filterRefusal, type FilterLimits } from '../../chroma/parse/filter-limits.ts';
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
import type { ReadFloors } from '../../read/consistency.ts';
import { emptyQueryBody, withoutRows } from './empty-query.ts';
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

type RecordRead = 'get' | 'query';
type Action = RecordRead | 'count';

export interface RecordReadsOptions {
  readonly reader: Reader;
  readonly names: Names;
  readonly bodyProbe: BodyProbe;
  /** Reads bodies that are too large for the event loop. */
  readonly scanner?: LargeScanner;
  readonly filterLimits?: FilterLimits;
  readonly floors: Pick<ReadFloors, 'of'>;
  /** LSN of the last entry of each shard this gateway knows of. */
  readonly heads: ShardLSNs;
  readonly cache: ResultCache;
  readonly records: RecordCache;
  /** Nodes that serve, at this moment. */
  readonly serving: () => number;
  readonly clock: Clock;
  /** Aborts when the gateway stops. */
  readonly stopped: AbortSignal;
}

interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly bytes: number;
}

// One call in flight for each node: a second one would take requests from the next batch (docs/performance.md).
const CALLS_PER_NODE = 1;
// Larger requests are rarely repeated, and hashing the largest would block the event loop for tens of milliseconds.
const CACHED_BODY_MAX = 256 * 1024;
// Larger bodies are parsed on a thread: they would block the event loop for more than 4 ms.
const SCANNED_BODY_MAX = 2 * 1024 * 1024;
// A merged call adds up to 1,000 ids, and must stay within the same limits.
const COALESCED_OPERANDS_MAX = 16_000;
// Maximum number of bodies for missing collections that nodes validate at one time; beyond it the response is that the
// collection is missing.
const PROBES_MAX = 4;

export class RecordReads {
  readonly #options: RecordReadsOptions;
  readonly #scanner: LargeScanner;
  readonly #queries: Coalescer<QueryCall>;
  readonly #gets: Coalescer<GetCall>;
  /** Bodies that a node is validating. */
  #probes = 0;

  constructor(options: RecordReadsOptions) {
    const { clock, reader, records, serving, stopped } = options;
    const callsMax = (): number => Math.max(1, serving()) * CALLS_PER_NODE;
    this.#options = options;
    this.#scanner = options.scanner ?? new LargeScanner();
    const preloader = new Preloader({ reader, records, clock, stopped });
    this.#queries = new Coalescer({ kind: new Queries(reader, records, preloader), clock, callsMax });
    this.#gets = new Coalescer({ kind: new Gets(reader), clock, callsMax });
  }

  /** What coalescing and the caches gain, counted since the start. */
  get counts(): {
    cache: CacheCounts;
    records: CacheCounts & { projected: number; preloaded: number };
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
      const refusal = isMissing && action !== 'count' ? await this.#probe(action, request) : null;
      if (refusal !== null) return refusal;
      throw error;
    }
    const shard = onlyShard(collection);
    const floor = await floors.of(request.headers, shard.id);
    if (!cache.isEnabled || request.body.length > CACHED_BODY_MAX)
      return this.#readFromNode(action, collection, floor, request);

    const search = searchOf(request);
    const key = ResultCache.key(shard.id, action + search, request.body);
    const cached = cache.find(key, Math.max(heads.get(shard.id), floor));
    if (cached !== null) return { status: 200, body: cached.body, headers: lsnHeader(cached.label) };
    const { generation } = cache;
    const response = await this.#readFromNode(action, collection, floor, request);
    const buffered = bufferedBody(response);
    if (buffered !== null) cache.store(key, { body: buffered.body, label: buffered.applied }, generation);
    return response;
  }

  /**
   * A server parses the body before it looks for the collection. Repeated requests for a missing collection must not load
   * the nodes: a plainly valid body is not sent to a node, and of the others a few at a time.
   */
  async #probe(action: RecordRead, request: ClientRequest): Promise<HttpResponse | null> {
    const { outline, body, isLarge } = await this.#scanner.outline(action, request.body);
    const refusal = filterRefusal(outline.filter, this.#limits);
    if (refusal !== null) return refusalResponse(refusal);
    const { zeroResults } = outline;
    const probed = zeroResults === null ? body : withOneResult(body, zeroResults);
    if (this.#probes >= PROBES_MAX || (!isLarge && isPlain(scanned(action, probed), outline))) return null;
    this.#probes += 1;
    try {
      return await this.#options.bodyProbe.refusalOf(action, body);
    } finally {
      this.#probes -= 1;
    }
  }

  /** The response of a node, once the body is known to be within the limits. */
  async #readFromNode(
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
      // A vector of another length would make the merged call fail.
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

  /** A query for zero rows reaches no node; with a filter, which only a node can validate, it is sent for one row. */
  async #noRows(
    collection: Collection,
    floor: number,
    request: ClientRequest,
    { outline, body, isLarge }: Outlined,
  ): Promise<HttpResponse> {
    const probed = outline.zeroResults === null ? body : withOneResult(body, outline.zeroResults);
    const call = isLarge ? null : scanQueryCall(probed);
    if (call === null || !isPlain(call, outline)) {
      const response = await this.#send('query', collection, { floor, isPaged: false }, request, probed);
      return withoutRows(response, outline);
    }
    const { dimension } = onlyShard(collection);
    if (dimension !== null && dimension !== call.dimension) throw wrongDimension(dimension, call.dimension);
    return { status: 200, body: emptyQueryBody(outline), headers: lsnHeader(floor) };
  }

  get #limits(): FilterLimits {
    return this.#options.filterLimits ?? DEFAULT_FILTER_LIMITS;
  }
}

const lsnHeader = (lsn: number): Record<string, string> => ({ 'x-polychrome-lsn': String(lsn) });

/** Whether every server accepts the call: it scans, and has no condition and no field that only a server can validate. */
function isPlain(call: GetCall | QueryCall | null, outline: RequestOutline): boolean {
  return call !== null && outline.isPlain && isUtf8(call.body);
}

const scanned = (action: RecordRead, body: Buffer): GetCall | QueryCall | null =>
  action === 'get' ? scanGetCall(body) : scanQueryCall(body);

function scanSmallQuery(body: Buffer): QueryCall | null {
  return body.length > SCANNED_BODY_MAX ? null : scanQueryCall(body);
}

/** The outline of everything but the vectors, which have been parsed already. */
function outlinedQuery({ body, key, count }: QueryCall): Outlined {
  const outline = outlineOf('query', Buffer.from(key.replace('\u0000', ''), 'latin1'));
  return { outline: { ...outline, vectors: count }, body, isLarge: false };
}

function searchOf({ query }: ClientRequest): string {
  return query.size === 0 ? '' : `?${query.toString()}`;
}
