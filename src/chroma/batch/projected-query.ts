// Projected queries: queries without documents and metadatas, whose responses are completed from cached records.
//
// These columns make up most of a server's work on a query (docs/performance.md). The completed response has the bytes
// that the server would have sent, except for the order of keys in metadata, which no server keeps.

import { columnsOf, elementEnds, elementStart, stringAt, type ResponseColumn } from './response-slices.ts';
import type { QueryCall } from './query-call.ts';

/** The columns that a projected query leaves out, as responses name them. */
export type RecordColumn = 'documents' | 'metadatas';

/** A record's columns as JSON text, one character per byte; undefined where they are not cached. */
export type RecordTexts = Partial<Record<RecordColumn, string>>;

export interface ProjectedQuery {
  /** The projected body before its vectors, and after them. */
  readonly before: Buffer;
  readonly after: Buffer;
  /** The columns that the client requested and the projected query leaves out; not empty. */
  readonly columns: readonly RecordColumn[];
  /** JSON text of `include` as the client wrote it. */
  readonly include: string;
}

/** One row of a query's response. */
export interface FoundRecord extends RecordTexts {
  readonly id: string;
}

// The server's default when `include` is absent (docs/chroma-behaviour.md#order-and-scanning).
const INCLUDE_DEFAULT = '["metadatas","documents","distances"]';
const KNOWN = new Set(['documents', 'metadatas', 'distances']);

/** The projected form of a query; null when no column can be left out, or when it requests other columns. */
export function projectQuery({ body, vectors, include }: QueryCall): ProjectedQuery | null {
  const text = include === null ? INCLUDE_DEFAULT : body.toString('latin1', include.start, include.end);
  const requested = requestedColumns(text);
  if (requested === null) return null;
  const columns = (['documents', 'metadatas'] as const).filter((column) => requested.has(column));
  if (columns.length === 0) return null;

  const rest = Buffer.from(requested.has('distances') ? '["distances"]' : '[]');
  let before = body.subarray(0, vectors.start);
  let after = body.subarray(vectors.end);
  if (include === null) {
    const close = after.lastIndexOf('}');
    after = Buffer.concat([
      after.subarray(0, close),
      Buffer.from(',"include":'),
      rest,
      after.subarray(close),
    ]);
  } else if (include.start < vectors.start) {
    before = Buffer.concat([
      body.subarray(0, include.start),
      rest,
      body.subarray(include.end, vectors.start),
    ]);
  } else {
    after = Buffer.concat([body.subarray(vectors.end, include.start), rest, body.subarray(include.end)]);
  }
  return { before, after, columns, include: text };
}

function requestedColumns(include: string): Set<unknown> | null {
  const requested: unknown = JSON.parse(include);
  if (!Array.isArray(requested)) return null;
  return requested.every((column) => KNOWN.has(column as string)) ? new Set<unknown>(requested) : null;
}

/** A query's response with the places of its rows. */
export interface QueryRows {
  readonly response: Buffer;
  readonly columns: readonly ResponseColumn[];
  /** For each vector, the ids of its rows. */
  readonly ids: readonly (readonly string[])[];
  /** JSON text of the response's `include`. */
  readonly include: string;
}

/** The rows of the response to a query of `vectors` vectors; null when it has another shape. */
export function queryRows(response: Buffer, vectors: number): QueryRows | null {
  const columns = columnsOf(response);
  const ids = columns?.find(({ name }) => name === 'ids');
  const include = columns?.find(({ name }) => name === 'include');
  if (columns === null || ids?.ends == null || include === undefined) return null;
  if (columns.some(({ ends }) => ends !== null && ends.length !== vectors)) return null;
  const { start, ends } = ids;
  return {
    response,
    columns,
    ids: ends.map((_, vector) => strings(response, elementStart(start, ends, vector))),
    include: response.toString('latin1', include.start, include.end),
  };
}

function strings(response: Buffer, start: number): string[] {
  const ends = elementEnds(response, start);
  return ends.map((end, row) => stringAt(response, elementStart(start, ends, row), end));
}

/** The records in a get's response; null when it has another shape. */
export function recordsInGetResponse(response: Buffer): FoundRecord[] | null {
  const columns = columnsOf(response);
  const ids = columns?.find(({ name }) => name === 'ids');
  if (columns === null || ids?.ends == null) return null;
  const found: FoundRecord[] = strings(response, ids.start).map((id) => ({ id }));
  for (const { name, start, ends } of columns) {
    if (!isRecordColumn(name) || ends === null) continue;
    if (!addTexts(response, { column: name, start, ends }, found)) return null;
  }
  return found;
}

/** The records in a query's response; null when its columns differ in length. */
export function recordsInQueryResponse({ response, columns, ids }: QueryRows): FoundRecord[] | null {
  const found = ids.map((ofVector) => ofVector.map((id): FoundRecord => ({ id })));
  for (const { name, start, ends } of columns) {
    if (!isRecordColumn(name) || ends === null) continue;
    for (const [vector, rows] of found.entries()) {
      const open = elementStart(start, ends, vector);
      const place = { column: name, start: open, ends: elementEnds(response, open) };
      if (!addTexts(response, place, rows)) return null;
    }
  }
  return found.flat();
}

const isRecordColumn = (name: string): name is RecordColumn => name === 'documents' || name === 'metadatas';

/** Sets the column of each row to its element of the array; false when the counts differ. */
function addTexts(
  response: Buffer,
  { column, start, ends }: { column: RecordColumn; start: number; ends: readonly number[] },
  rows: readonly RecordTexts[],
): boolean {
  if (ends.length !== rows.length) return false;
  for (const [row, end] of ends.entries()) {
    (rows[row] as RecordTexts)[column] = response.toString('latin1', elementStart(start, ends, row), end);
  }
  return true;
}

/** Approximate bytes of all completed responses. */
export function completedBytes({ response }: QueryRows, { texts, wanted }: Completion): number {
  let bytes = response.length;
  for (const text of texts) for (const column of wanted) bytes += text[column]?.length ?? 0;
  return bytes;
}

/** The response for each member of a batch; null when the projected response lacks a column that must be filled in. */
export function completeResponses(
  { response, columns, ids }: QueryRows,
  { counts, texts, wanted, include }: Completion,
): Buffer[] | null {
  if (!wanted.every((column) => columns.some(({ name }) => name === column))) return null;
  let vector = 0;
  let row = 0;
  return counts.map((count) => {
    const until = vector + count;
    let whole = '';
    for (const { name, start, end, ends } of columns) {
      whole += `${whole === '' ? '{' : ','}"${name}":`;
      const column = wanted.find((one) => one === name);
      if (column !== undefined) whole += columnText(ids.slice(vector, until), { column, texts, row });
      else if (name === 'include') whole += include;
      else if (ends === null) whole += response.toString('latin1', start, end);
      else {
        const from = elementStart(start, ends, vector);
        whole += `[${response.toString('latin1', from, ends[until - 1])}]`;
      }
    }
    for (; vector < until; vector++) row += (ids[vector] as readonly string[]).length;
    return Buffer.from(`${whole}}`, 'latin1');
  });
}

export interface Completion {
  /** Vectors of each member of the batch. */
  readonly counts: readonly number[];
  /** The cached columns of each row, in the order of the rows. */
  readonly texts: readonly RecordTexts[];
  /** The columns to fill in. */
  readonly wanted: readonly RecordColumn[];
  /** JSON text of `include` in a response with these columns. */
  readonly include: string;
}

function columnText(
  ids: readonly (readonly string[])[],
  from: { readonly column: RecordColumn; readonly texts: readonly RecordTexts[]; readonly row: number },
): string {
  const { column, texts } = from;
  let { row } = from;
  let text = '[';
  for (const [index, { length }] of ids.entries()) {
    text += index === 0 ? '[' : ',[';
    for (let n = 0; n < length; n++) text += (n === 0 ? '' : ',') + (texts[row++] as RecordTexts)[column];
    text += ']';
  }
  return `${text}]`;
}
