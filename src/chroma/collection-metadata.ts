// Reads what a collection is to be, in a body that a server can read: what it refuses, what it cannot store, and what
// ends it.

import { ARRAY_OPEN, JsonCursor, OBJECT_OPEN } from './json.ts';
import type { Slice } from './record-call.ts';
import { readSparseVector } from './sparse-vector.ts';

export interface CollectionMetadata {
  /** Why a server refuses it, or null. */
  readonly fault: string | null;
  /**
   * Whether it holds a list or a sparse vector (NEW). A single server knows these among the metadata of records only:
   * the handler of a create or a modification panics, and the connection ends without an answer (observed on 1.3.4).
   */
  readonly unstorable: boolean;
  /** As endsServers, in the spelling of clients of old. */
  readonly endsServers: boolean;
}

const DEPTH = 2;
const NEIGHBORS_KEY = 'hnsw:M';
const NEIGHBORS_FIELD = 'max_neighbors';

/**
 * Whether the configuration or schema in `slice` gives the vector index no neighbors. A server takes that, and ends,
 * process and all, when the first records are added; and again whenever it is repeated (observed on 1.0.5 and 1.3.4).
 */
export function endsServers(body: Buffer, { start, end }: Slice): boolean {
  const holds = (value: unknown): boolean =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(value).some(
      ([name, member]) => (name === NEIGHBORS_FIELD && member === 0) || holds(member),
    );
  return holds(JSON.parse(body.toString('utf8', start, end)));
}

/** The metadata in `slice` of `body`, an object; `modern` says whether the servers know lists and sparse vectors. */
export function readCollectionMetadata(body: Buffer, slice: Slice, modern: boolean): CollectionMetadata {
  const cursor = new JsonCursor(body);
  cursor.pos = slice.start;
  if (!cursor.openObject()) {
    return { fault: 'Metadata cannot be empty', unstorable: false, endsServers: false };
  }
  // Of a key given twice the last value counts.
  const values = new Map<string, CollectionMetadata>();
  do {
    const key = cursor.decoded(cursor.name(true));
    cursor.colon();
    values.set(key, readValue(cursor, key, modern));
  } while (cursor.nextMember());
  const found = [...values.values()];
  return {
    fault: found.find(({ fault }) => fault !== null)?.fault ?? null,
    unstorable: found.some(({ unstorable }) => unstorable),
    endsServers: found.some(({ endsServers: ends }) => ends),
  };
}

function readValue(cursor: JsonCursor, key: string, modern: boolean): CollectionMetadata {
  const byte = cursor.peek();
  const start = cursor.pos;
  const isObject = byte === OBJECT_OPEN;
  const fault = modern ? (keyFault(key) ?? (isObject ? vectorFault(cursor) : null)) : null;
  cursor.pos = start;
  cursor.value(true, DEPTH);
  const text = cursor.bytes.toString('latin1', start, cursor.pos);
  return {
    fault,
    unstorable: modern && (isObject || byte === ARRAY_OPEN),
    endsServers: key === NEIGHBORS_KEY && text === '0',
  };
}

// rust/types/src/validators.rs, validate_metadata_key.
function keyFault(key: string): string | null {
  if (key === '') return 'Metadata key cannot be empty';
  return key.startsWith('#') || key.startsWith('$')
    ? `Metadata key cannot start with '#' or '$': ${key}`
    : null;
}

function vectorFault(cursor: JsonCursor): string | null {
  const verdict = readSparseVector(cursor, DEPTH);
  if (verdict === 'uneven') {
    return 'Invalid sparse vector: Sparse vector indices, values, and tokens (when present) must have the same length';
  }
  if (verdict !== 'unsorted') return null;
  return 'Invalid sparse vector: Sparse vector indices must be sorted in strictly ascending order (no duplicates)';
}
