// Splits a large record call into parts that a Chroma server executes in about a second each.
//
// Sending the parts in order has the effect of the whole call, also when all are sent again after some were sent: a server
// applies the records of a call one after the other, and all of them are of one kind. So an id may repeat in several parts.

import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  BACKSLASH,
  isSpace,
  LETTER_N,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type Slice,
} from '../parse/json.ts';
import { bodyBytes, ID_BYTES_MAX, type MergeLimits } from './merge.ts';
import { EncodedIds, isListed } from '../parse/record-ids.ts';
import { COLUMNS, type Column, type RecordCall } from '../parse/record-call.ts';

export interface SplitLimits extends MergeLimits {
  /** Work of one part, in the units of `workOf`. */
  readonly work: number;
}

const MIB = 1024 * 1024;
// A part may exceed the limit so far rather than leave a small rest: a call has fixed costs, 0.1 s and more on a server.
const EXCESS = 1.1;

// CPU seconds of a 1.0.5 server for an add and then an upsert of new ids, on two busy cores.
// Each time includes about 0.1 s for the records themselves (1,024 of 8 dimensions).
// - Documents, 1 MiB: 0.8 and 1.0 in 1,024 records; 0.25 and 0.4 in 128 records; 0.3 in one.
// - Metadata of 1,024 records: 0.85 and 0.8 with 64 integers each (0.8 MiB), 1.0 and 1.2 with 64 strings of 16 characters
//   (1.8 MiB), 0.6 with 4 strings of 1,000 characters (4 MiB). The unit is set for many short entries, the slowest per byte.
// - Uris, 1 MiB in 1,024 records: 0.25 and 0.3.
// - Embeddings of 1,536 dimensions, 8 MiB: 0.5 (470 records as floats) and 0.8 (1,024 in base64) in a new collection, 1.8
//   and 3.6 in one of 5,000 records, there on two threads. Base64 takes half as many bytes for the same embeddings.
// - Deleting 5,461 records: 0.5 without documents, 1.2 with documents of 200 bytes and 4 metadata keys.
const RECORDS_PER_UNIT = 1_024;
const DELETIONS_PER_UNIT = 4_096;
const BYTES_PER_UNIT: Readonly<Record<Column, number>> = {
  embeddings: 8 * MIB,
  documents: MIB,
  metadatas: MIB,
  uris: 4 * MIB,
};
const BASE64_BYTES_PER_UNIT = 4 * MIB;

// At least the bytes that a part's body has around its items.
const FRAME_BYTES = '{"ids":[],"embeddings":[],"documents":[],"metadatas":[],"uris":[]}'.length;

// The end of long strings is found natively; for short ones that call takes longer than the loop.
const NATIVE_SEARCH_FROM = 64;
// Bytes that skipping an array or object must examine.
const STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, ARRAY_OPEN, ARRAY_CLOSE, OBJECT_OPEN, OBJECT_CLOSE]) STRUCTURAL[byte] = 1;

/** How many records a call or part has, and how many bytes its ids and each of its columns take. */
interface Sizes {
  records: number;
  idBytes: number;
  readonly columns: Partial<Record<Column, number>>;
}

/** The estimated work of a call or part; 1 is about a second of a stock server. */
export function workOf(call: RecordCall): number {
  const columns: Sizes['columns'] = {};
  for (const column of COLUMNS) {
    const slice = call.columns[column];
    if (slice !== undefined) columns[column] = slice.end - slice.start;
  }
  const idBytes = call.idSlice.end - call.idSlice.start;
  return workOfSizes(call, { records: call.ids.length, idBytes, columns });
}

/** The estimated work of writing, or removing, so many bytes of documents. */
export function documentWork(bytes: number): number {
  return bytes / BYTES_PER_UNIT.documents;
}

function workOfSizes({ kind, encoding }: RecordCall, { records, idBytes, columns }: Sizes): number {
  const recordsPerUnit = kind === 'delete' ? DELETIONS_PER_UNIT : RECORDS_PER_UNIT;
  let work = Math.max(records / recordsPerUnit, idBytes / ID_BYTES_MAX);
  for (const column of COLUMNS) {
    const isBase64 = column === 'embeddings' && encoding === 'base64';
    const bytesPerUnit = isBase64 ? BASE64_BYTES_PER_UNIT : BYTES_PER_UNIT[column];
    work = Math.max(work, (columns[column] ?? 0) / bytesPerUnit);
  }
  return work;
}

/**
 * The parts of `call` in the order to send them; the call itself when it is within `limits` or cannot be split
 * (conditional deletes, single records). Parts are found one at a time, when requested. A record beyond the limits is a
 * part by itself.
 */
export function* splitCall(call: RecordCall, limits: SplitLimits): Generator<RecordCall, void, void> {
  const work = evenWork(call, limits.work);
  const fitsWhole =
    workOf(call) <= work && call.ids.length <= limits.maxIds && bodyBytes(call) <= limits.maxBytes;
  if (fitsWhole || call.conditional || call.ids.length <= 1) {
    yield call;
    return;
  }
  const scan = new PartScan(call);
  let from = 0;
  for (let index = 0; index < call.ids.length; index++) {
    scan.readRecord();
    if (index > from && !scan.fits(index + 1 - from, { ...limits, work })) {
      yield scan.part(from, index);
      from = index;
    }
    scan.takeRecord();
  }
  yield scan.part(from, call.ids.length);
}

/** The work of one part, so that parts of similar records are of similar size. */
function evenWork(call: RecordCall, limit: number): number {
  const work = workOf(call);
  if (work <= limit || !Number.isFinite(work)) return limit;
  const count = Math.ceil(work / (limit * EXCESS));
  // A part may end up to one record short of its share.
  return Math.min(work / count + work / call.ids.length, limit * EXCESS);
}

/** The part being assembled, and the record read after it. */
class PartScan {
  readonly #call: RecordCall;
  readonly #ids: ItemScan;
  readonly #columns: (readonly [Column, ItemScan])[] = [];
  readonly #all: readonly ItemScan[];
  readonly #sizes: Sizes = { records: 0, idBytes: 0, columns: {} };

  constructor(call: RecordCall) {
    this.#call = call;
    this.#ids = new ItemScan(call.body, call.idSlice);
    for (const column of COLUMNS) {
      const slice = call.columns[column];
      if (slice !== undefined) this.#columns.push([column, new ItemScan(call.body, slice)]);
    }
    this.#all = [this.#ids, ...this.#columns.map(([, items]) => items)];
  }

  readRecord(): void {
    for (const items of this.#all) items.read();
  }

  takeRecord(): void {
    for (const items of this.#all) items.take();
  }

  /** Whether the part, of `records` together with the record read last, is within `limits`. */
  fits(records: number, limits: SplitLimits): boolean {
    const sizes = this.#sizes;
    sizes.records = records;
    sizes.idBytes = this.#ids.bytesWithRead;
    let bodySize = FRAME_BYTES + sizes.idBytes;
    for (const [column, items] of this.#columns) {
      const bytes = items.bytesWithRead;
      sizes.columns[column] = bytes;
      bodySize += bytes;
    }
    return (
      records <= limits.maxIds && bodySize <= limits.maxBytes && workOfSizes(this.#call, sizes) <= limits.work
    );
  }

  /** The part of the records from `from` up to `to`; the next part begins after it. */
  part(from: number, to: number): RecordCall {
    const call = this.#call;
    const offset = call.part?.from ?? 0;
    const columns: Partial<Record<Column, Slice>> = {};
    for (const [column, items] of this.#columns) columns[column] = items.closePart();
    const idSlice = this.#ids.closePart();
    return {
      ...call,
      part: { from: offset + from, to: offset + to },
      ids: isListed(call.ids) ? call.ids.slice(from, to) : new EncodedIds(call.body, idSlice, to - from),
      idSlice,
      columns,
    };
  }
}

/** Walks over the items of one array and assigns them to parts. */
class ItemScan {
  readonly #body: Buffer;
  /** Bounds of the part, and of the item read after it. */
  #start: number;
  #end: number;
  #readStart: number;
  #readEnd: number;
  /** Where the item after that begins, white space included. */
  #next: number;

  constructor(body: Buffer, { start }: Slice) {
    this.#body = body;
    this.#start = start;
    this.#end = start;
    this.#readStart = start;
    this.#readEnd = start;
    this.#next = start;
  }

  /** Bytes of the part with the item read last. */
  get bytesWithRead(): number {
    return this.#readEnd - this.#start;
  }

  read(): void {
    this.#readStart = skipSpace(this.#body, this.#next);
    this.#readEnd = valueEnd(this.#body, this.#readStart);
    this.#next = skipSpace(this.#body, this.#readEnd) + ','.length;
  }

  take(): void {
    this.#end = this.#readEnd;
  }

  /** The slice of the part; the next part begins with the item read last. */
  closePart(): Slice {
    const slice = { start: this.#start, end: this.#end };
    this.#start = this.#readStart;
    return slice;
  }
}

function skipSpace(body: Buffer, start: number): number {
  let pos = start;
  while (isSpace(body[pos])) pos++;
  return pos;
}

/** Where the item that begins at `start` ends: a valid string, null, embedding or metadata. */
function valueEnd(body: Buffer, start: number): number {
  const first = body[start];
  if (first === QUOTE) return stringEnd(body, start);
  if (first === LETTER_N) return start + 'null'.length;
  // Only embeddings begin with a bracket, and they hold numbers only. The native search is several times faster.
  if (first === ARRAY_OPEN) return body.indexOf(ARRAY_CLOSE, start) + 1;
  let depth = 0;
  for (let pos = start; pos < body.length;) {
    const byte = body[pos] as number;
    if (STRUCTURAL[byte] === 0) pos++;
    else if (byte === QUOTE) pos = stringEnd(body, pos);
    else {
      depth += byte === ARRAY_OPEN || byte === OBJECT_OPEN ? 1 : -1;
      pos++;
      if (depth === 0) return pos;
    }
  }
  return body.length;
}

/** Where the string whose quote is at `start` ends: after its closing quote. */
function stringEnd(body: Buffer, start: number): number {
  for (let pos = start + 1; pos < body.length; pos++) {
    if (pos === start + NATIVE_SEARCH_FROM) {
      const quote = body.indexOf(QUOTE, pos);
      if (body[quote - 1] !== BACKSLASH) return quote + 1;
    }
    const byte = body[pos];
    if (byte === QUOTE) return pos + 1;
    if (byte === BACKSLASH) pos++;
  }
  return body.length;
}
