// Gets by id, put together and their answer cut apart again. A server answers a get in the order in which records
// were inserted, drops ids it does not have and ignores the order asked (chroma-facts, section 7); so the rows of the
// merged answer that carry a caller's ids, in their order, are what the caller would have got alone.

import {
  ARRAY_OPEN,
  COLON,
  COMMA,
  elementEnds,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  stringEnd,
  valueEnd,
} from './answer-slices.ts';
import { ARRAY_CLOSE, JsonCursor, JsonSyntaxError } from './json.ts';
import type { Slice } from './record-call.ts';

export interface GetCall {
  readonly body: Buffer;
  readonly ids: readonly string[];
  /** What stands between the brackets of `ids`. */
  readonly idSlice: Slice;
  readonly withEmbeddings: boolean;
  /** The body without its ids: gets of one key can go in one call. */
  readonly key: string;
}

/** The get in `body`, or null when it is anything but a plain one by ids: then it goes to a node alone. */
export function scanGetCall(body: Buffer): GetCall | null {
  try {
    return scan(new JsonCursor(body));
  } catch (error) {
    if (error instanceof JsonSyntaxError) return null;
    throw error;
  }
}

function scan(cursor: JsonCursor): GetCall | null {
  const body = cursor.bytes;
  const seen = new Set<string>();
  let ids: string[] | null = null;
  let idSlice: Slice = { start: 0, end: 0 };
  let withEmbeddings = false;
  if (cursor.peek() !== OBJECT_OPEN) return null;
  cursor.pos++;
  do {
    const key = cursor.decoded(cursor.name(true));
    if (seen.has(key)) return null;
    seen.add(key);
    cursor.colon();
    const first = cursor.peek();
    const start = cursor.pos;
    if (key === 'ids') {
      if (first !== ARRAY_OPEN) return null;
      ids = readIds(cursor);
      if (ids === null) return null;
      idSlice = { start: start + 1, end: cursor.pos - 1 };
      continue;
    }
    cursor.value(true, 1);
    const text = body.toString('latin1', start, cursor.pos);
    // A page is a part of all rows: merged, it would be a part of everybody's.
    if ((key === 'limit' || key === 'offset') && text !== 'null') return null;
    if (key === 'include') withEmbeddings = text.includes('"embeddings"');
  } while (cursor.nextMember());
  cursor.end();
  if (ids === null || ids.length === 0) return null;
  const key = `${body.toString('latin1', 0, idSlice.start)}\u0000${body.toString('latin1', idSlice.end)}`;
  return { body, ids, idSlice, withEmbeddings, key };
}

/** The ids of the array at the cursor; null when one is no string. Consumes the array. */
function readIds(cursor: JsonCursor): string[] | null {
  const ids: string[] = [];
  cursor.pos++;
  if (cursor.peek() === ARRAY_CLOSE) return null;
  do {
    if (cursor.peek() !== QUOTE) return null;
    const start = cursor.pos;
    cursor.string(true);
    ids.push(cursor.decoded(start));
  } while (cursor.nextElement());
  return ids;
}

const COMMA_BYTES = Buffer.from(',');

/** The body of one call that asks for what all of `calls`, of one key, ask. */
export function mergeGetCalls(calls: readonly GetCall[]): Buffer[] {
  const first = calls[0] as GetCall;
  const chunks = [first.body.subarray(0, first.idSlice.start)];
  for (const { body, idSlice } of calls) {
    if (chunks.length > 1) chunks.push(COMMA_BYTES);
    chunks.push(body.subarray(idSlice.start, idSlice.end));
  }
  chunks.push(first.body.subarray(first.idSlice.end));
  return chunks;
}

/** Each caller's part of the answer to the merged call; null when the answer is of another shape. */
export function cutGetAnswer(answer: Buffer, calls: readonly GetCall[]): Buffer[] | null {
  const columns = columnsOf(answer);
  const ids = columns?.find(({ name }) => name === 'ids');
  if (columns === null || ids?.ends == null) return null;
  const rowOf = new Map<string, number>();
  for (const [row, id] of idsOf(answer, ids.start, ids.ends).entries()) rowOf.set(id, row);
  if (columns.some(({ ends }) => ends !== null && ends.length !== ids.ends?.length)) return null;
  return calls.map((call) => {
    const rows = new Set<number>();
    for (const id of call.ids) {
      const row = rowOf.get(id);
      if (row !== undefined) rows.add(row);
    }
    return rowsOf(
      answer,
      columns,
      [...rows].sort((a, b) => a - b),
    );
  });
}

interface Column {
  readonly name: string;
  /** Where its value begins. */
  readonly start: number;
  readonly end: number;
  /** Where each row's element ends; null for a column that is the same for everybody (null, and `include`). */
  readonly ends: readonly number[] | null;
}

function columnsOf(answer: Buffer): Column[] | null {
  if (answer[0] !== OBJECT_OPEN) return null;
  const columns: Column[] = [];
  let pos = 1;
  while (answer[pos] === QUOTE) {
    const nameEnd = stringEnd(answer, pos);
    const name = answer.toString('latin1', pos + 1, nameEnd - 1);
    if (answer[nameEnd] !== COLON) return null;
    const start = nameEnd + 1;
    const perRow = answer[start] === ARRAY_OPEN && name !== 'include';
    const ends = perRow ? elementEnds(answer, start) : null;
    const end = ends === null ? valueEnd(answer, start) : (ends.at(-1) ?? start + 1) + 1;
    columns.push({ name, start, end, ends });
    pos = answer[end] === COMMA ? end + 1 : end;
  }
  return answer[pos] === OBJECT_CLOSE && pos + 1 === answer.length ? columns : null;
}

function idsOf(answer: Buffer, start: number, ends: readonly number[]): string[] {
  return ends.map((end, row) => {
    const from = row === 0 ? start + 1 : (ends[row - 1] as number) + 1;
    const text = answer.toString('utf8', from, end);
    return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
  });
}

function rowsOf(answer: Buffer, columns: readonly Column[], rows: readonly number[]): Buffer {
  const chunks: Buffer[] = [];
  let from = 0;
  for (const { start, end, ends } of columns) {
    if (ends === null) continue;
    chunks.push(answer.subarray(from, start + 1));
    for (const [index, row] of rows.entries()) {
      if (index > 0) chunks.push(COMMA_BYTES);
      chunks.push(answer.subarray(row === 0 ? start + 1 : (ends[row - 1] as number) + 1, ends[row]));
    }
    from = end - 1;
  }
  chunks.push(answer.subarray(from));
  return Buffer.concat(chunks);
}
