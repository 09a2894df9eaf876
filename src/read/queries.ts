// Queries, as they are put together; and as they are asked without the documents and metadatas of records that are
// known already, which is most of what a query costs a server (docs/performance.md).

import {
  completeAnswers,
  completedBytes,
  leanQuery,
  queryRows,
  recordsFound,
  recordsGot,
  type FoundRecord,
  type LeanQuery,
  type QueryRows,
  type RecordColumn,
  type RecordTexts,
} from '../chroma/batch/projected-query.ts';
import { cutQueryAnswer } from '../chroma/batch/query-response.ts';
import { mergeQueryCalls, type QueryCall } from '../chroma/batch/query-call.ts';
import type { HttpResponse } from '../http/response.ts';
import type { Asking, ReadTarget, Together } from './coalescer.ts';
import type { ReadAhead } from './read-ahead.ts';
import { HELD_BYTES_MAX, readWhole, recordsRead, wholeBody, type Reader, type WholeBody } from './reader.ts';
import type { RecordCache } from './record-cache.ts';
import { mapKey } from '../util/map-key.ts';

// A first guess for a row with a document and metadata, before an answer was seen.
const ROW_BYTES = 1_024;
const FLOAT_BYTES = 12;
// With more rows missing than this, asking for them costs more than was saved. Alone, a second call costs as much as
// the first: it must not be likely.
const MISSING_MAX = 0.5;
const MISSING_ROWS_MAX_ALONE = 0.3;
// One statement of sqlite with as many variables; more are not worth a call of their own.
const FETCHED_MAX = 1_000;
// A server fails above as many rows when asked for their documents or metadatas (docs/chroma-behaviour.md#order-and-scanning).
const ROWS_MAX = 32_766;
// Different texts of `include` whose echo is remembered.
const INCLUDES_MAX = 64;

export class Queries implements Asking<QueryCall> {
  readonly #reader: Pick<Reader, 'read'>;
  readonly #records: RecordCache;
  readonly #ahead: Pick<ReadAhead, 'missed'>;
  /** What servers say was included, by what was asked for. */
  readonly #includes = new Map<string, string>();
  // A server's gain flattens at 32 to 64 vectors a call, and whoever came first waits for the last.
  readonly unitsMax = 64;
  readonly keyOf = ({ dimension, key }: QueryCall): string => `${dimension} ${key}`;
  readonly unitsOf = ({ count }: QueryCall): number => count;
  readonly rowsOf = ({ count, rowsPerVector }: QueryCall): number => count * rowsPerVector;
  readonly rowBytesOf = ({ withEmbeddings, dimension }: QueryCall): number =>
    ROW_BYTES + (withEmbeddings ? dimension * FLOAT_BYTES : 0);

  constructor(reader: Pick<Reader, 'read'>, records: RecordCache, ahead: Pick<ReadAhead, 'missed'>) {
    this.#reader = reader;
    this.#records = records;
    this.#ahead = ahead;
  }

  async alone(target: ReadTarget, floor: number, call: QueryCall, signal: AbortSignal): Promise<HttpResponse> {
    const calls = [call];
    const lean = this.#leanForm(target, calls);
    if (lean !== null) {
      const together = await this.#askLean(target, floor, calls, lean, () => undefined, signal);
      if (together !== null)
        return { status: 200, body: together.bodies[0] as Buffer, headers: together.headers };
    }
    const { generation } = this.#records;
    const answer = await this.#reader.read(
      wantedOf(target, floor),
      recordsRead(target.collection, 'query', [call.body]),
      signal,
    );
    const whole = wholeBody(answer);
    if (whole !== null) setImmediate(() => this.#learn(target, call, whole, call.count, generation));
    return answer;
  }

  async together(
    target: ReadTarget,
    floor: number,
    calls: readonly QueryCall[],
    answered: () => void,
  ): Promise<Together | null> {
    const lean = this.#leanForm(target, calls);
    if (lean !== null) {
      const together = await this.#askLean(target, floor, calls, lean, answered);
      if (together !== null) return together;
    }
    const { generation } = this.#records;
    const read = recordsRead(target.collection, 'query', mergeQueryCalls(calls));
    const whole = await readWhole(this.#reader, wantedOf(target, floor), read);
    answered();
    if (whole === null) return null;
    const counts = calls.map(({ count }) => count);
    const bodies = cutQueryAnswer(whole.body, counts);
    if (bodies === null) return null;
    setImmediate(() => this.#learn(target, calls[0] as QueryCall, whole, sum(counts), generation));
    return { headers: whole.headers, bodies };
  }

  /** How to ask lean, when enough of what is left out is probably known. */
  #leanForm({ shard }: ReadTarget, calls: readonly QueryCall[]): LeanQuery | null {
    const missing = this.#records.missing(shard);
    if (missing > MISSING_MAX) return null;
    const rows = sum(calls.map(this.rowsOf));
    if (calls.length === 1 && rows * missing > MISSING_ROWS_MAX_ALONE) return null;
    const lean = leanQuery(calls[0] as QueryCall);
    return lean !== null && this.#includes.has(mapKey(lean.include)) ? lean : null;
  }

  /** Null when it has to be asked in full after all; an error when that would fail as well. */
  async #askLean(
    target: ReadTarget,
    floor: number,
    calls: readonly QueryCall[],
    lean: LeanQuery,
    answered: () => void,
    client?: AbortSignal,
  ): Promise<Together | null> {
    const records = this.#records;
    const { generation } = records;
    const read = recordsRead(target.collection, 'query', mergeQueryCalls(calls, lean));
    const whole = await readWhole(this.#reader, wantedOf(target, floor), read, client);
    const counts = calls.map(({ count }) => count);
    const rows = whole === null ? null : queryRows(whole.body, sum(counts));
    if (whole === null || rows === null) return null;
    const texts = await this.#textsOf(target, rows, whole, lean.columns, answered);
    const include = this.#includes.get(mapKey(lean.include));
    if (texts === null || include === undefined || generation !== records.generation || !records.enabled)
      return null;
    answered();
    const completion = { counts, texts, wanted: lean.columns, include };
    // What a node would have sent is then passed on as it comes.
    if (completedBytes(rows, completion) > HELD_BYTES_MAX) return null;
    const bodies = completeAnswers(rows, completion);
    if (bodies !== null) records.counts.lean += bodies.length;
    return bodies === null ? null : { headers: whole.headers, bodies };
  }

  /** The texts of every row, in order: those known, and the rest asked for; null when some cannot be had. */
  async #textsOf(
    target: ReadTarget,
    { ids }: QueryRows,
    { applied }: WholeBody,
    columns: readonly RecordColumn[],
    answered: () => void,
  ): Promise<RecordTexts[] | null> {
    const { shard } = target;
    const records = this.#records;
    const wanted = ids.flat();
    if (wanted.length > ROWS_MAX) return null;
    const texts = wanted.map((id) => records.find(shard, id, applied, columns));
    const unknown = wanted.filter((_, row) => texts[row] === null);
    const missing = new Map(unknown.map((id) => [mapKey(id), id]));
    const misses = texts.reduce((count, text) => (text === null ? count + 1 : count), 0);
    records.counted(shard, wanted.length, misses);
    if (misses === 0) {
      answered();
      return texts as RecordTexts[];
    }
    if (missing.size > FETCHED_MAX) return null;
    await this.#fetch(target, [...missing.values()], columns, applied);
    for (const [row, text] of texts.entries()) {
      texts[row] = text ?? records.find(shard, wanted[row] as string, applied, columns);
      if (texts[row] === null) return null;
    }
    return texts as RecordTexts[];
  }

  async #fetch(
    target: ReadTarget,
    ids: readonly string[],
    include: readonly RecordColumn[],
    floor: number,
  ): Promise<void> {
    const { generation } = this.#records;
    const read = recordsRead(target.collection, 'get', [Buffer.from(JSON.stringify({ ids, include }))]);
    const whole = await readWhole(this.#reader, wantedOf(target, floor), read).catch(() => null);
    if (whole !== null) this.#keep(target, recordsGot(whole.body) ?? [], whole.applied, generation);
  }

  /** Keeps what a full answer says of records, and how often it was known already; once the answer is on its way. */
  #learn(
    target: ReadTarget,
    call: QueryCall,
    { body, applied }: WholeBody,
    vectors: number,
    generation: number,
  ): void {
    const records = this.#records;
    const lean = records.enabled ? leanQuery(call) : null;
    const rows = lean === null ? null : queryRows(body, vectors);
    const found = rows === null ? null : recordsFound(rows);
    if (lean === null || rows === null || found === null) return;
    if (!this.#includes.has(mapKey(lean.include)) && this.#includes.size < INCLUDES_MAX) {
      this.#includes.set(mapKey(lean.include), rows.include);
    }
    const { shard } = target;
    const unknown = found.filter(({ id }) => records.find(shard, id, applied, lean.columns) === null);
    records.counted(shard, found.length, unknown.length);
    this.#keep(target, unknown, applied, generation);
    this.#ahead.missed(target, lean.columns, unknown.length);
  }

  #keep({ shard }: ReadTarget, found: readonly FoundRecord[], applied: number, generation: number): void {
    for (const { id, ...texts } of found) this.#records.keep(shard, id, texts, applied, generation);
  }
}

const wantedOf = ({ shard }: ReadTarget, floor: number): Parameters<Reader['read']>[0] => ({
  shard,
  floor,
  sticky: false,
});

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
