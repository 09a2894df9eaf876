// Reads and validates a sparse vector in metadata: `{"indices":[1],"values":[1.0]}`.
//
// `"#type":"sparse_vector"` and `tokens` are optional. Releases from 1.3 on parse sparse vectors, but a single-node server
// stores none (rust/types/src/metadata.rs, rust/log/src/sqlite_log.rs; observed on 1.3.4).

import { ARRAY_OPEN, isDigit, LETTER_N, MINUS, QUOTE, type JsonCursor } from './json.ts';

/** `misfit`: another shape, with the cursor at an undefined place; `uneven`, `unsorted`: of this shape, but invalid. */
export type SparseVectorResult = 'misfit' | 'uneven' | 'unsorted' | 'valid';

const TYPE = 'sparse_vector';
const U32_MAX = 0xffff_ffff;

/** Consumes the object at the cursor when it has the shape of a sparse vector. */
export function readSparseVector(cursor: JsonCursor, depth: number): SparseVectorResult {
  const columns = new Map<string, readonly (string | number)[] | null>();
  if (!cursor.openObject()) return 'misfit';
  do {
    const name = cursor.decoded(cursor.name(true));
    cursor.colon();
    const read = READERS.get(name);
    if (read === undefined) {
      cursor.value(true, depth + 1);
      continue;
    }
    const column = columns.has(name) ? 'misfit' : read(cursor);
    if (column === 'misfit') return 'misfit';
    columns.set(name, column);
  } while (cursor.nextMember());
  const [indices, values, tokens] = ['indices', 'values', 'tokens'].map((name) => columns.get(name));
  if (indices == null || values == null) return 'misfit';
  const even = indices.length === values.length && (tokens == null || tokens.length === indices.length);
  const ascending = indices.every((index, at) => at === 0 || Number(index) > Number(indices[at - 1]));
  if (!even) return 'uneven';
  return ascending ? 'valid' : 'unsorted';
}

type PartReader = (cursor: JsonCursor) => readonly (string | number)[] | null | 'misfit';

const READERS: ReadonlyMap<string, PartReader> = new Map<string, PartReader>([
  ['#type', (cursor) => orNull(cursor, () => (readString(cursor) === TYPE ? [] : 'misfit'))],
  ['indices', (cursor) => readArray(cursor, readIndex)],
  ['values', (cursor) => readArray(cursor, readValue)],
  ['tokens', (cursor) => orNull(cursor, () => readArray(cursor, readString))],
]);

function orNull<T>(cursor: JsonCursor, read: () => T): T | null {
  if (cursor.peek() !== LETTER_N) return read();
  cursor.literal('null');
  return null;
}

function readArray<T>(cursor: JsonCursor, read: (cursor: JsonCursor) => T | null): readonly T[] | 'misfit' {
  if (cursor.peek() !== ARRAY_OPEN) return 'misfit';
  const elements: T[] = [];
  if (!cursor.openArray()) return elements;
  do {
    const element = read(cursor);
    if (element === null) return 'misfit';
    elements.push(element);
  } while (cursor.nextElement());
  return elements;
}

function readString(cursor: JsonCursor): string | null {
  if (cursor.peek() !== QUOTE) return null;
  const start = cursor.pos;
  cursor.string(true);
  return cursor.decoded(start);
}

// The number serves validation only: the bytes are passed on unchanged (I11).
function readIndex(cursor: JsonCursor): number | null {
  const byte = cursor.peek();
  const start = cursor.pos;
  if (!isDigit(byte)) return null;
  cursor.scalar(byte, true);
  const index = cursor.numberSince(start);
  return cursor.numberIsInteger && index <= U32_MAX ? index : null;
}

function readValue(cursor: JsonCursor): number | null {
  const byte = cursor.peek();
  if (byte !== MINUS && !isDigit(byte)) return null;
  cursor.scalar(byte, true);
  return 0;
}
