// Merges gets by id into one call and splits its response.
//
// A server returns records in the order of their insertion, whatever the order of the ids, and leaves out missing ids
// (docs/chroma-behaviour.md#order-and-scanning). So the rows of the merged response with a member's ids, in their order,
// are the response to that member's own get.

import { columnsOf, elementStart, stringAt, type ResponseColumn } from './response-slices.ts';
import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  JsonCursor,
  JsonSyntaxError,
  OBJECT_OPEN,
  QUOTE,
  type Slice,
} from '../parse/json.ts';
import { mapKey } from '../../util/map-key.ts';

export interface GetCall {
  readonly body: Buffer;
  readonly ids: readonly string[];
  /** The text between the brackets of `ids`. */
  readonly idSlice: Slice;
  readonly withEmbeddings: boolean;
  /** The body without its ids; gets with equal keys can be merged. */
  readonly key: string;
}

/** The get in `body`; null unless it is a plain one by ids, because others are not merged. */
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
    if (seen.has(mapKey(key))) return null;
    seen.add(mapKey(key));
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
    // A page of the merged get would be taken from the rows of all members.
    if ((key === 'limit' || key === 'offset') && text !== 'null') return null;
    if (key === 'include') withEmbeddings = text.includes('"embeddings"');
  } while (cursor.nextMember());
  cursor.end();
  if (ids === null || ids.length === 0) return null;
  const key = `${body.toString('latin1', 0, idSlice.start)}\u0000${body.toString('latin1', idSlice.end)}`;
  return { body, ids, idSlice, withEmbeddings, key };
}

/** The ids of the array at the cursor, which is consumed; null when an item is not a string. */
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

/** The body of one get for the ids of all `calls`, which have equal keys. */
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

/** Each call's part of the merged response; null when it has another shape. */
export function splitGetResponse(response: Buffer, calls: readonly GetCall[]): Buffer[] | null {
  const columns = columnsOf(response);
  const ids = columns?.find(({ name }) => name === 'ids');
  if (columns === null || ids?.ends == null) return null;
  const rowOf = new Map<string, number>();
  for (const [row, end] of ids.ends.entries()) {
    rowOf.set(mapKey(stringAt(response, elementStart(ids.start, ids.ends, row), end)), row);
  }
  if (columns.some(({ ends }) => ends !== null && ends.length !== ids.ends?.length)) return null;
  return calls.map((call) => {
    const rows = new Set<number>();
    for (const id of call.ids) {
      const row = rowOf.get(mapKey(id));
      if (row !== undefined) rows.add(row);
    }
    return rowsOf(
      response,
      columns,
      [...rows].sort((a, b) => a - b),
    );
  });
}

function rowsOf(response: Buffer, columns: readonly ResponseColumn[], rows: readonly number[]): Buffer {
  const chunks: Buffer[] = [];
  let from = 0;
  for (const { start, end, ends } of columns) {
    if (ends === null) continue;
    chunks.push(response.subarray(from, start + 1));
    for (const [index, row] of rows.entries()) {
      if (index > 0) chunks.push(COMMA_BYTES);
      chunks.push(response.subarray(elementStart(start, ends, row), ends[row]));
    }
    from = end - 1;
  }
  chunks.push(response.subarray(from));
  return Buffer.concat(chunks);
}
