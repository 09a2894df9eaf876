// Reads what a collection is to be, in a body that a server can read: what it refuses, what it cannot store, and what
// ends it.

import { ARRAY_OPEN, isDigit, JsonCursor, MINUS, OBJECT_OPEN, type Slice } from './json.ts';
import { readSparseVector } from './sparse-vector.ts';
import { mapKey } from '../../util/map-key.ts';

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
const FUNCTION_FIELD = 'embedding_function';
const KEYS_FIELD = 'keys';
// hnswlib, in the servers, knows no more than 10,000.
const NEIGHBORS_MIN = 2;
const NEIGHBORS_MAX = 10_000;

const endsServer = (neighbors: number): boolean => neighbors < NEIGHBORS_MIN || neighbors > NEIGHBORS_MAX;

/**
 * Whether the configuration or schema in `slice` gives the vector index too few neighbors, or too many. A server takes
 * that. Of none it ends, process and all, when the first records are added, and again whenever that is repeated; of one
 * or of very many it may answer 500 to every write, or nothing at all (observed on 1.0.5 and 1.3.4).
 */
export function endsServers(body: Buffer, { start }: Slice): boolean {
  const cursor = new JsonCursor(body);
  cursor.pos = start;
  return endsServersWithin(cursor, '');
}

/** As endsServers, for the value at the cursor, the value of the member `owner`. Consumes it. */
function endsServersWithin(cursor: JsonCursor, owner: string): boolean {
  const byte = cursor.peek();
  let found = false;
  if (byte === ARRAY_OPEN && cursor.openArray()) {
    do found = endsServersWithin(cursor, '') || found;
    while (cursor.nextElement());
  } else if (byte === OBJECT_OPEN && cursor.openObject()) {
    do found = memberEndsServers(cursor, owner) || found;
    while (cursor.nextMember());
  } else if (byte !== ARRAY_OPEN && byte !== OBJECT_OPEN) cursor.scalar(byte, false);
  return found;
}

function memberEndsServers(cursor: JsonCursor, owner: string): boolean {
  const name = cursor.decoded(cursor.name(false));
  cursor.colon();
  const byte = cursor.peek();
  const start = cursor.pos;
  const found = endsServersWithin(cursor, name);
  // An embedding function is configured as its maker likes, and a server only stores that. Among the keys of a
  // schema, though, it is the name of a key.
  if (name === FUNCTION_FIELD && owner !== KEYS_FIELD) return false;
  const isNumber = byte === MINUS || isDigit(byte);
  return found || (name === NEIGHBORS_FIELD && isNumber && endsServer(cursor.numberSince(start)));
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
    values.set(mapKey(key), readValue(cursor, key, modern));
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
    endsServers: key === NEIGHBORS_KEY && /^\d+$/.test(text) && endsServer(Number(text)),
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
