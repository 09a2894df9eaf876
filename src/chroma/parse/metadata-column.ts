// Reads and validates one record's metadata: a flat object of strings, numbers, booleans and, on newer servers, arrays.
//
// Newer servers parse sparse vectors too, but a single-node server stores none.

import { ARRAY_OPEN, isDigit, LETTER_N, MINUS, OBJECT_OPEN, QUOTE, type JsonCursor } from './json.ts';
import type { Faults } from './faults.ts';
import type { RecordKind } from './record-call.ts';
import { refuseType, refuseVariant } from './refusal.ts';
import { readSparseVector } from './sparse-vector.ts';
import { mapKey } from '../../util/map-key.ts';

// Chroma keeps documents and uris among the metadata under keys with this prefix. A `chroma:document` that is no string
// ends the server's log reader (docs/chroma-behaviour.md#metadata-keys-that-stop-a-server). Other keys are stored and
// hidden, or become the document. All are refused.
const RESERVED_PREFIX = 'chroma:';
// A number of so few digits is within 64 bits.
const SAFE_INTEGER_DIGITS = 18;
const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 63n - 1n;
const FIRST_OF_RESERVED = 'c'.charCodeAt(0);
const HASH = '#'.charCodeAt(0);
const DOLLAR = '$'.charCodeAt(0);
const METADATA_DEPTH = 3;
// A server stores a new record's metadata in one statement with six variables a key, of 32,766 at most. From 5,461 keys on
// it fails after it has queued the record, and fails every later write of the collection too
// (docs/chroma-behaviour.md#metadata-with-thousands-of-keys).
const KEYS_MAX = 5_000;
// Elements of all lists of a record, likewise in a statement of their own.
const ELEMENTS_MAX = 5_000;

export interface MetadataOptions {
  readonly kind: RecordKind;
  /** Whether the servers accept arrays (NEW). */
  readonly arrays: boolean;
  /** Collects what Chroma would not accept. */
  readonly faults: Faults;
}

/** Consumes the metadata object at the cursor, of the record at `index`; throws RefusedBody when its shape is wrong. */
export function readMetadata(cursor: JsonCursor, index: number, options: MetadataOptions): void {
  if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, `metadatas[${index}]: `, 'a map');
  if (!cursor.openObject()) return;
  // The last value of a repeated key counts.
  let found: Map<string, { key: string; problem: Problem }> | null = null;
  let keys = 0;
  const lists = { elements: 0 };
  do {
    const nameStart = cursor.name(true);
    checkKey(cursor, { start: nameStart, index }, options);
    const nameEnd = cursor.pos;
    cursor.colon();
    cursor.peek();
    const start = cursor.pos;
    // A null stores nothing.
    if (cursor.bytes[start] !== LETTER_N) keys += 1;
    const result = readValue(cursor, options, lists);
    if (result === 'valid' && found === null) continue;
    const key = String(JSON.parse(cursor.bytes.toString('utf8', nameStart, nameEnd)));
    if (result === 'misfit') {
      cursor.pos = start;
      refuseMismatch(cursor, `metadatas[${index}].${key}: `, options.kind);
    }
    found ??= new Map();
    if (result === 'valid') found.delete(mapKey(key));
    else found.set(mapKey(key), { problem: result, key });
  } while (cursor.nextMember());
  if (keys > KEYS_MAX) {
    const message = `Metadata of one record can have at most ${KEYS_MAX} keys, and record ${index} has ${keys}`;
    options.faults.add('unsafe', message);
  }
  if (lists.elements > ELEMENTS_MAX) {
    const message = `Metadata of one record can have lists of at most ${ELEMENTS_MAX} values in all, and record ${index} has ${lists.elements}`;
    options.faults.add('unsafe', message);
  }
  for (const { key, problem } of found?.values() ?? []) addFault(options.faults, problem, { index, key });
}

function addFault(
  faults: Faults,
  problem: Problem,
  { index, key }: { readonly index: number; readonly key: string },
): void {
  if (problem === 'invalid') faults.add('metadatas', invalidAt(index));
  else if (problem === 'sparse') {
    const message = `Unimplemented: Sparse vector is not supported for local chroma: ${key}`;
    faults.add('sparse', { status: 501, error: 'ChromaError', message });
  } else
    faults.add('unsafe', 'Metadata integers must be within signed 64 bits: the server would round this one');
}

// The server reads the whole value before it tries the variants, so syntax errors come first.
function refuseMismatch(cursor: JsonCursor, path: string, kind: RecordKind): never {
  cursor.value(true, METADATA_DEPTH);
  const type = kind === 'add' ? 'MetadataValue' : 'UpdateMetadataValue';
  refuseVariant(cursor, path, type);
}

// The key ends at the cursor.
function checkKey(
  cursor: JsonCursor,
  { start, index }: { readonly start: number; readonly index: number },
  { arrays, faults }: MetadataOptions,
): void {
  const first = cursor.bytes[start + 1] ?? 0;
  const suspicious = first === FIRST_OF_RESERVED || first === HASH || first === DOLLAR || first === QUOTE;
  if (!suspicious && !cursor.stringEscaped) return;
  const key = cursor.decoded(start);
  if (key.startsWith(RESERVED_PREFIX)) {
    faults.add('unsafe', `Metadata key cannot start with '${RESERVED_PREFIX}': ${key}`);
  }
  // NEW: rust/types/src/validators.rs, validate_metadata_key; older servers accept such keys.
  if (arrays && (key === '' || key.startsWith('#') || key.startsWith('$'))) {
    faults.add('metadatas', invalidAt(index));
  }
}

const invalidAt = (index: number): string =>
  `Validation error: metadatas: Invalid metadata at index ${index}`;

/** How many values the lists of a record have, over all keys. */
interface Lists {
  elements: number;
}

/** `unsafe`: the server would change the value; `sparse`: a sparse vector; `invalid`: a malformed one. */
type Problem = 'unsafe' | 'sparse' | 'invalid';
/** `misfit`: the value has none of the accepted types. */
type ValueResult = 'valid' | 'misfit' | Problem;

function readValue(cursor: JsonCursor, { kind, arrays }: MetadataOptions, lists: Lists): ValueResult {
  const byte = cursor.peek();
  if (byte === OBJECT_OPEN) return arrays ? readObject(cursor) : 'misfit';
  if (byte === ARRAY_OPEN) return arrays ? readArray(cursor, lists) : 'misfit';
  // Upsert and update accept null as "remove this key" (observed).
  if (byte === LETTER_N && kind === 'add') return 'misfit';
  return readScalar(cursor, byte);
}

function readObject(cursor: JsonCursor): ValueResult {
  const result = readSparseVector(cursor, METADATA_DEPTH);
  if (result === 'misfit') return result;
  return result === 'valid' ? 'sparse' : 'invalid';
}

function readScalar(cursor: JsonCursor, byte: number): ValueResult {
  const start = cursor.pos;
  cursor.scalar(byte, true);
  if (byte !== MINUS && !isDigit(byte)) return 'valid';
  if (!cursor.numberIsInteger || cursor.numberMagnitude <= SAFE_INTEGER_DIGITS) return 'valid';
  return survives(cursor.bytes.toString('latin1', start, cursor.pos)) ? 'valid' : 'unsafe';
}

// The server stores an integer outside signed 64 bits as the nearest double (observed). It keeps doubles of that size,
// which JavaScript clients write as integers; it would change the 64-bit hash of another client.
function survives(text: string): boolean {
  const integer = BigInt(text);
  if (integer >= INTEGER_MIN && integer <= INTEGER_MAX) return true;
  const double = Number(text);
  return String(double) === text || BigInt(double) === integer;
}

// NEW: arrays of strings, of booleans, of numbers; nothing nested, nothing mixed, no null.
function readArray(cursor: JsonCursor, lists: Lists): ValueResult {
  if (!cursor.openArray()) return 'valid';
  let result: ValueResult = 'valid';
  let type: string | null = null;
  do {
    const byte = cursor.peek();
    const element = elementType(byte);
    if (element === null || (type !== null && type !== element)) return 'misfit';
    type = element;
    lists.elements += 1;
    if (readScalar(cursor, byte) === 'unsafe') result = 'unsafe';
  } while (cursor.nextElement());
  return result;
}

function elementType(byte: number): string | null {
  if (byte === QUOTE) return 'string';
  if (byte === MINUS || isDigit(byte)) return 'number';
  return byte === ARRAY_OPEN || byte === OBJECT_OPEN || byte === LETTER_N ? null : 'boolean';
}
