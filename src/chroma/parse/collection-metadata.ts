// Validates a collection's metadata and configuration: what a server rejects, cannot store, or crashes on.

import { ARRAY_OPEN, isDigit, JsonCursor, MINUS, OBJECT_OPEN, type Slice } from './json.ts';
import { readSparseVector } from './sparse-vector.ts';
import { mapKey } from '../../util/map-key.ts';

export interface CollectionMetadata {
  /** Why a server rejects it, or null. */
  readonly fault: string | null;
  /**
   * Whether it holds a list or a sparse vector (NEW). A single-node server accepts these in the metadata of records only:
   * the handler of a create or a modification panics and the connection ends without a response (observed on 1.3.4).
   */
  readonly unstorable: boolean;
  /** As crashesServers, in the notation of older clients. */
  readonly crashesServers: boolean;
}

const DEPTH = 2;
const NEIGHBORS_KEY = 'hnsw:M';
const NEIGHBORS_FIELD = 'max_neighbors';
const FUNCTION_FIELD = 'embedding_function';
const KEYS_FIELD = 'keys';
// The limit of hnswlib in the servers.
const NEIGHBORS_MIN = 2;
const NEIGHBORS_MAX = 10_000;

const isCrashing = (neighbors: number): boolean => neighbors < NEIGHBORS_MIN || neighbors > NEIGHBORS_MAX;

/**
 * Whether the configuration or schema in `slice` gives the vector index too few neighbors, or too many. A server accepts
 * that. With no neighbors its process ends when the first records are added, and again on every repetition. With one, or
 * very many, it may answer 500 to every write, or not at all (observed on 1.0.5 and 1.3.4).
 */
export function crashesServers(body: Buffer, { start }: Slice): boolean {
  const cursor = new JsonCursor(body);
  cursor.pos = start;
  return crashesServersWithin(cursor, '');
}

/** As crashesServers, for the value at the cursor, which is consumed; `owner` is the name of its member. */
function crashesServersWithin(cursor: JsonCursor, owner: string): boolean {
  const byte = cursor.peek();
  let found = false;
  if (byte === ARRAY_OPEN && cursor.openArray()) {
    do found = crashesServersWithin(cursor, '') || found;
    while (cursor.nextElement());
  } else if (byte === OBJECT_OPEN && cursor.openObject()) {
    do found = memberCrashesServers(cursor, owner) || found;
    while (cursor.nextMember());
  } else if (byte !== ARRAY_OPEN && byte !== OBJECT_OPEN) cursor.scalar(byte, false);
  return found;
}

function memberCrashesServers(cursor: JsonCursor, owner: string): boolean {
  const name = cursor.decoded(cursor.name(false));
  cursor.colon();
  const byte = cursor.peek();
  const start = cursor.pos;
  const found = crashesServersWithin(cursor, name);
  // A server stores the configuration of an embedding function without reading it. In the keys of a schema, though,
  // the name is an ordinary key.
  if (name === FUNCTION_FIELD && owner !== KEYS_FIELD) return false;
  const isNumber = byte === MINUS || isDigit(byte);
  return found || (name === NEIGHBORS_FIELD && isNumber && isCrashing(cursor.numberSince(start)));
}

/** Validates the metadata object in `slice`; `modern`: the servers accept lists and sparse vectors. */
export function readCollectionMetadata(body: Buffer, slice: Slice, modern: boolean): CollectionMetadata {
  const cursor = new JsonCursor(body);
  cursor.pos = slice.start;
  if (!cursor.openObject()) {
    return { fault: 'Metadata cannot be empty', unstorable: false, crashesServers: false };
  }
  // The last value of a repeated key counts.
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
    crashesServers: found.some(({ crashesServers: crashes }) => crashes),
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
    crashesServers: key === NEIGHBORS_KEY && /^\d+$/.test(text) && isCrashing(Number(text)),
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
  const result = readSparseVector(cursor, DEPTH);
  if (result === 'uneven') {
    return 'Invalid sparse vector: Sparse vector indices, values, and tokens (when present) must have the same length';
  }
  if (result !== 'unsorted') return null;
  return 'Invalid sparse vector: Sparse vector indices must be sorted in strictly ascending order (no duplicates)';
}
