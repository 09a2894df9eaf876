// A lean query asks for neighbours without their documents and metadatas, which make up most of a server's work on a
// query (docs/performance.md): for whoever knows the records already. Its answer is completed with what is known, to the
// bytes the server would have sent, but for the order of keys in a metadata, which no server keeps.

import { columnsOf, elementEnds, elementStart, stringAt, type AnswerColumn } from './response-slices.ts';
import type { QueryCall } from './query-call.ts';

/** What a query may ask to know of a record beside its distance, as an answer's columns are called. */
export type RecordColumn = 'documents' | 'metadatas';

/** A record's columns as JSON text, its bytes one character each; undefined where it is not known. */
export type RecordTexts = Partial<Record<RecordColumn, string>>;

export interface LeanQuery {
  /** What comes before the vectors in the body of the lean call, and after them. */
  readonly before: Buffer;
  readonly after: Buffer;
  /** What the caller asked for and the lean call does not; not empty. */
  readonly columns: readonly RecordColumn[];
  /** The text of `include` as the caller wrote it. */
  readonly include: string;
}

/** One row of a query's answer. */
export interface FoundRecord extends RecordTexts {
  readonly id: string;
}

// What a server takes for granted when `include` is absent (docs/chroma-behaviour.md#order-and-scanning).
const INCLUDE_DEFAULT = '["metadatas","documents","distances"]';
const KNOWN = new Set(['documents', 'metadatas', 'distances']);

/** The lean form of a query; null when it asks for nothing that could be left out, or for what is not kept. */
export function leanQuery({ body, vectors, include }: QueryCall): LeanQuery | null {
  const text = include === null ? INCLUDE_DEFAULT : body.toString('latin1', include.start, include.end);
  const asked = columnsAsked(text);
  if (asked === null) return null;
  const columns = (['documents', 'metadatas'] as const).filter((column) => asked.has(column));
  if (columns.length === 0) return null;

  const rest = Buffer.from(asked.has('distances') ? '["distances"]' : '[]');
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

function columnsAsked(include: string): Set<unknown> | null {
  const asked: unknown = JSON.parse(include);
  if (!Array.isArray(asked)) return null;
  return asked.every((column) => KNOWN.has(column as string)) ? new Set<unknown>(asked) : null;
}

/** The answer to a query, ready to be looked at row by row. */
export interface QueryRows {
  readonly answer: Buffer;
  readonly columns: readonly AnswerColumn[];
  /** Ids of the rows found for each vector. */
  readonly ids: readonly (readonly string[])[];
  /** What the server says was included: its JSON text. */
  readonly include: string;
}

/** The rows of a query's answer, for `vectors` vectors; null when it is of another shape. */
export function queryRows(answer: Buffer, vectors: number): QueryRows | null {
  const columns = columnsOf(answer);
  const ids = columns?.find(({ name }) => name === 'ids');
  const include = columns?.find(({ name }) => name === 'include');
  if (columns === null || ids?.ends == null || include === undefined) return null;
  if (columns.some(({ ends }) => ends !== null && ends.length !== vectors)) return null;
  const { start, ends } = ids;
  return {
    answer,
    columns,
    ids: ends.map((_, vector) => strings(answer, elementStart(start, ends, vector))),
    include: answer.toString('latin1', include.start, include.end),
  };
}

function strings(answer: Buffer, start: number): string[] {
  const ends = elementEnds(answer, start);
  return ends.map((end, row) => stringAt(answer, elementStart(start, ends, row), end));
}

/** The rows of a get's answer; null when it is of another shape. */
export function recordsGot(answer: Buffer): FoundRecord[] | null {
  const columns = columnsOf(answer);
  const ids = columns?.find(({ name }) => name === 'ids');
  if (columns === null || ids?.ends == null) return null;
  const found: FoundRecord[] = strings(answer, ids.start).map((id) => ({ id }));
  for (const { name, start, ends } of columns) {
    if (!isRecordColumn(name) || ends === null) continue;
    if (!addTexts(answer, { start, ends }, name, found)) return null;
  }
  return found;
}

/** Every row of a full answer with the columns it brings; null when the columns do not match. */
export function recordsFound({ answer, columns, ids }: QueryRows): FoundRecord[] | null {
  const found = ids.map((ofVector) => ofVector.map((id): FoundRecord => ({ id })));
  for (const { name, start, ends } of columns) {
    if (!isRecordColumn(name) || ends === null) continue;
    for (const [vector, rows] of found.entries()) {
      const open = elementStart(start, ends, vector);
      if (!addTexts(answer, { start: open, ends: elementEnds(answer, open) }, name, rows)) return null;
    }
  }
  return found.flat();
}

const isRecordColumn = (name: string): name is RecordColumn => name === 'documents' || name === 'metadatas';

/** Gives each row its element of an array; false when there are not as many. */
function addTexts(
  answer: Buffer,
  { start, ends }: { readonly start: number; readonly ends: readonly number[] },
  column: RecordColumn,
  rows: readonly RecordTexts[],
): boolean {
  if (ends.length !== rows.length) return false;
  for (const [row, end] of ends.entries()) {
    (rows[row] as RecordTexts)[column] = answer.toString('latin1', elementStart(start, ends, row), end);
  }
  return true;
}

/** Bytes all answers will have once completed, about. */
export function completedBytes({ answer }: QueryRows, { texts, wanted }: Completion): number {
  let bytes = answer.length;
  for (const text of texts) for (const column of wanted) bytes += text[column]?.length ?? 0;
  return bytes;
}

/**
 * The answers for members that asked `counts` vectors each, the lean answer completed: `texts` has what is known of
 * each row, in the order of the rows; `include` is what the server says of the columns when asked for all. Null when
 * the lean answer has no place for a column.
 */
export function completeAnswers(
  { answer, columns, ids }: QueryRows,
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
      if (column !== undefined) whole += columnText(column, ids.slice(vector, until), texts, row);
      else if (name === 'include') whole += include;
      else if (ends === null) whole += answer.toString('latin1', start, end);
      else {
        const from = elementStart(start, ends, vector);
        whole += `[${answer.toString('latin1', from, ends[until - 1])}]`;
      }
    }
    for (; vector < until; vector++) row += (ids[vector] as readonly string[]).length;
    return Buffer.from(`${whole}}`, 'latin1');
  });
}

export interface Completion {
  readonly counts: readonly number[];
  readonly texts: readonly RecordTexts[];
  readonly wanted: readonly RecordColumn[];
  readonly include: string;
}

function columnText(
  column: RecordColumn,
  ids: readonly (readonly string[])[],
  texts: readonly RecordTexts[],
  first: number,
): string {
  let row = first;
  let text = '[';
  for (const [index, { length }] of ids.entries()) {
    text += index === 0 ? '[' : ',[';
    for (let n = 0; n < length; n++) text += (n === 0 ? '' : ',') + (texts[row++] as RecordTexts)[column];
    text += ']';
  }
  return `${text}]`;
}
