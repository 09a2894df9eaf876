// Queries as a kind of read that can be coalesced, and projected: sent without the documents and metadatas of records that
// are cached, which are most of what a query costs a server (docs/performance.md).

import {
  completeResponses,
  completedBytes,
  projectQuery,
  queryRows,
  recordsInQueryResponse,
  recordsInGetResponse,
  type FoundRecord,
  type ProjectedQuery,
  type QueryRows,
  type RecordTexts,
} from '../chroma/batch/projected-query.ts';
import { mergeQueryCalls, type QueryCall } from '../chroma/batch/query-call.ts';
import { splitQueryResponse } from '../chroma/batch/query-response.ts';
import type { HttpResponse } from '../http/response.ts';
import { LruMap } from '../util/lru-map.ts';
import { mapKey } from '../util/map-key.ts';
import type { MergedRead, MergedResponse, ReadKind, ReadTarget, SingleRead } from './coalescer.ts';
import type { Preloader } from './preloader.ts';
import {
  bufferedBody,
  readBuffered,
  recordsRead,
  type BufferedBody,
  type Reader,
  type ReadResponse,
} from './reader.ts';
import type { ReadRequirements } from './node-selection.ts';
import type { RecordCache, RecordLookup, RecordSource } from './record-cache.ts';
import { BUFFERED_BYTES_MAX } from './response-buffer.ts';

// A first estimate for a row with a document and metadata, before any response.
const ROW_BYTES = 1_024;
const FLOAT_BYTES = 12;
// With a larger share of rows not cached, fetching them costs more than the projection saves. For a single query a
// second call costs as much as the first, so it must be unlikely.
const MISS_SHARE_MAX = 0.5;
const SINGLE_MISSES_MAX = 0.3;
// One sqlite statement with as many variables; more are not worth a call of their own.
const FETCHED_MAX = 1_000;
// A server fails above as many rows when asked for their documents or metadatas
// (docs/chroma-behaviour.md#order-and-scanning).
const ROWS_MAX = 32_766;
// Different texts of `include` whose echo is remembered.
const INCLUDES_MAX = 64;

/** Calls of one key to be sent projected, as one call. */
interface ProjectedRead extends MergedRead<QueryCall> {
  readonly projection: ProjectedQuery;
  readonly client: AbortSignal | null;
}

/** A query response asked for in full. */
interface FullResponse {
  readonly call: QueryCall;
  /** Number of vectors in the call. */
  readonly vectors: number;
  readonly buffered: BufferedBody;
  readonly generation: number;
}

export class Queries implements ReadKind<QueryCall> {
  readonly #reader: Pick<Reader, 'read'>;
  readonly #records: RecordCache;
  readonly #preloader: Pick<Preloader, 'reportMisses'>;
  /** The `include` of a server's response, by the text of `include` in the call. */
  readonly #includes = new LruMap<string, string>({ weightMax: INCLUDES_MAX });
  // A server's gain flattens at 32 to 64 vectors per call, and the first to arrive waits for the last.
  readonly unitsMax = 64;
  readonly keyOf = ({ dimension, key }: QueryCall): string => `${dimension} ${key}`;
  readonly unitsOf = ({ count }: QueryCall): number => count;
  readonly rowsOf = ({ count, rowsPerVector }: QueryCall): number => count * rowsPerVector;
  readonly rowBytesOf = ({ withEmbeddings, dimension }: QueryCall): number =>
    ROW_BYTES + (withEmbeddings ? dimension * FLOAT_BYTES : 0);

  constructor(
    reader: Pick<Reader, 'read'>,
    records: RecordCache,
    preloader: Pick<Preloader, 'reportMisses'>,
  ) {
    this.#reader = reader;
    this.#records = records;
    this.#preloader = preloader;
  }

  async readOne(target: ReadTarget, read: SingleRead<QueryCall>): Promise<HttpResponse> {
    const { call, floor, signal } = read;
    const calls = [call];
    const projection = this.#projection(target, calls);
    if (projection !== null) {
      const onNodeFree = (): void => undefined;
      const projected = { calls, floor, onNodeFree, projection, client: signal };
      const completed = await this.#readProjected(target, projected);
      if (completed !== null) {
        const { bodies, headers, applied } = completed;
        const whole: ReadResponse = { status: 200, body: bodies[0] as Buffer, headers, applied };
        return whole;
      }
    }
    const { generation } = this.#records;
    const request = recordsRead(target.collection, 'query', [call.body]);
    const response = await this.#reader.read(requirementsOf(target, floor), request, signal);
    const buffered = bufferedBody(response);
    if (buffered !== null) this.#learnLater(target, { call, vectors: call.count, buffered, generation });
    return response;
  }

  async readMerged(target: ReadTarget, read: MergedRead<QueryCall>): Promise<MergedResponse | null> {
    const { calls, floor, onNodeFree } = read;
    const projection = this.#projection(target, calls);
    if (projection !== null) {
      const completed = await this.#readProjected(target, { ...read, projection, client: null });
      if (completed !== null) return completed;
    }
    const { generation } = this.#records;
    const buffered = await readBuffered({
      reader: this.#reader,
      requirements: requirementsOf(target, floor),
      read: recordsRead(target.collection, 'query', mergeQueryCalls(calls)),
      client: null,
    });
    onNodeFree();
    if (buffered === null) return null;
    const counts = calls.map(({ count }) => count);
    const bodies = splitQueryResponse(buffered.body, counts);
    if (bodies === null) return null;
    this.#learnLater(target, { call: calls[0] as QueryCall, vectors: sum(counts), buffered, generation });
    return { headers: buffered.headers, applied: buffered.applied, bodies };
  }

  /** How to project the calls; null when too much of what would be left out is probably not cached. */
  #projection({ shard }: ReadTarget, calls: readonly QueryCall[]): ProjectedQuery | null {
    const missShare = this.#records.missShare(shard);
    if (missShare > MISS_SHARE_MAX) return null;
    const rows = sum(calls.map(this.rowsOf));
    if (calls.length === 1 && rows * missShare > SINGLE_MISSES_MAX) return null;
    const projection = projectQuery(calls[0] as QueryCall);
    return projection !== null && this.#includes.has(mapKey(projection.include)) ? projection : null;
  }

  /** Null when the calls have to be sent in full; rejects when that would fail as well. */
  async #readProjected(target: ReadTarget, read: ProjectedRead): Promise<MergedResponse | null> {
    const { calls, floor, projection, onNodeFree, client } = read;
    const records = this.#records;
    const { generation } = records;
    const buffered = await readBuffered({
      reader: this.#reader,
      requirements: requirementsOf(target, floor),
      read: recordsRead(target.collection, 'query', mergeQueryCalls(calls, projection)),
      client,
    });
    const counts = calls.map(({ count }) => count);
    const rows = buffered === null ? null : queryRows(buffered.body, sum(counts));
    if (buffered === null || rows === null) return null;
    const { columns } = projection;
    const lookup = { shard: target.shard, applied: buffered.applied, columns };
    const texts = await this.#textsOf(target, { rows, lookup, onNodeFree });
    const include = this.#includes.get(mapKey(projection.include));
    if (texts === null || include === null || generation !== records.generation || !records.isEnabled)
      return null;
    onNodeFree();
    const completion = { counts, texts, wanted: columns, include };
    // A response too large to be buffered is streamed, which needs the full query.
    if (completedBytes(rows, completion) > BUFFERED_BYTES_MAX) return null;
    const bodies = completeResponses(rows, completion);
    if (bodies !== null) records.counts.projected += bodies.length;
    return bodies === null ? null : { headers: buffered.headers, applied: buffered.applied, bodies };
  }

  /** The texts of every row, in order, from the cache or else fetched; null when some cannot be fetched. */
  async #textsOf(
    target: ReadTarget,
    { rows, lookup, onNodeFree }: { rows: QueryRows; lookup: RecordLookup; onNodeFree: () => void },
  ): Promise<RecordTexts[] | null> {
    const records = this.#records;
    const ids = rows.ids.flat();
    if (ids.length > ROWS_MAX) return null;
    const texts = ids.map((id) => records.find(id, lookup));
    const missing = ids.filter((_, row) => texts[row] === null);
    records.countRows(target.shard, ids.length, missing.length);
    if (missing.length === 0) {
      onNodeFree();
      return texts as RecordTexts[];
    }
    const distinct = new Map(missing.map((id) => [mapKey(id), id]));
    if (distinct.size > FETCHED_MAX) return null;
    await this.#fetch(target, [...distinct.values()], lookup);
    for (const [row, text] of texts.entries()) {
      texts[row] = text ?? records.find(ids[row] as string, lookup);
      if (texts[row] === null) return null;
    }
    return texts as RecordTexts[];
  }

  /** Caches the records of `ids` from a node that has applied as much as the query's. */
  async #fetch(target: ReadTarget, ids: readonly string[], lookup: RecordLookup): Promise<void> {
    const { generation } = this.#records;
    const body = Buffer.from(JSON.stringify({ ids, include: lookup.columns }));
    const buffered = await readBuffered({
      reader: this.#reader,
      requirements: requirementsOf(target, lookup.applied),
      read: recordsRead(target.collection, 'get', [body]),
      client: null,
    }).catch(() => null);
    if (buffered === null) return;
    const { shard } = target;
    this.#store(recordsInGetResponse(buffered.body) ?? [], { shard, applied: buffered.applied, generation });
  }

  /** Once the response has been sent: clients do not wait for it. */
  #learnLater(target: ReadTarget, response: FullResponse): void {
    setImmediate(() => this.#learn(target, response));
  }

  /** Caches the records of a full response, and counts how many of them were cached already. */
  #learn(target: ReadTarget, { call, vectors, buffered, generation }: FullResponse): void {
    const records = this.#records;
    const projection = records.isEnabled ? projectQuery(call) : null;
    const rows = projection === null ? null : queryRows(buffered.body, vectors);
    const found = rows === null ? null : recordsInQueryResponse(rows);
    if (projection === null || rows === null || found === null) return;
    this.#includes.set(mapKey(projection.include), rows.include);
    const { shard } = target;
    const { applied } = buffered;
    const lookup = { shard, applied, columns: projection.columns };
    const missing = found.filter(({ id }) => records.find(id, lookup) === null);
    records.countRows(shard, found.length, missing.length);
    this.#store(missing, { shard, applied, generation });
    this.#preloader.reportMisses(target, projection.columns, missing.length);
  }

  #store(found: readonly FoundRecord[], source: RecordSource): void {
    for (const record of found) this.#records.store(record, source);
  }
}

const requirementsOf = ({ shard }: ReadTarget, floor: number): ReadRequirements => ({
  shard,
  floor,
  sticky: false,
});

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
