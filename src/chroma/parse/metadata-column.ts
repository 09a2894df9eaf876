// Reads one record's metadata: a flat object of strings, numbers and booleans, on newer servers also of arrays. Newer
// servers know sparse vectors too, but a single one stores none.

import { ARRAY_OPEN, isDigit, LETTER_N, MINUS, OBJECT_OPEN, QUOTE, type JsonCursor } from './json.ts';
import type { Faults } from './faults.ts';
import type { RecordKind } from './record-call.ts';
import { misfit, RefusedBody, refuseType } from './refusal.ts';
import { readSparseVector } from './sparse-vector.ts';
import { mapKey } from '../../util/map-key.ts';

// Chroma keeps documents and uris among the metadata under keys with this prefix. A `chroma:document` that is no
// string ends the server's log reader: from then on every write fails, until restart and after (docs/chroma-behaviour.md#metadata-keys-that-stop-a-server). Others
// are stored and hidden, or become the document. Nobody needs them, so all are refused.
const RESERVED_PREFIX = 'chroma:';
// A number of so few digits is within 64 bits.
const SAFE_INTEGER_DIGITS = 18;
const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 63n - 1n;
const FIRST_OF_RESERVED = 'c'.charCodeAt(0);
const HASH = '#'.charCodeAt(0);
const DOLLAR = '$'.charCodeAt(0);
const METADATA_DEPTH = 3;

export interface MetadataOptions {
  readonly kind: RecordKind;
  /** Whether the servers are of the level that has arrays (NEW). */
  readonly arrays: boolean;
  /** Takes note of what Chroma would not take. */
  readonly faults: Faults;
}

/** Consumes the metadata object at the cursor, of the record at `index`; throws RefusedBody when its shape is wrong. */
export function readMetadata(cursor: JsonCursor, index: number, options: MetadataOptions): void {
  if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, `metadatas[${index}]: `, 'a map');
  if (!cursor.openObject()) return;
  // Of a key given twice the last value counts.
  let verdicts: Map<string, { key: string; verdict: Exclude<Verdict, 'fine' | 'misfit'> }> | null = null;
  do {
    const nameStart = cursor.name(true);
    judgeKey(cursor, nameStart, index, options);
    const nameEnd = cursor.pos;
    cursor.colon();
    cursor.peek();
    const start = cursor.pos;
    const verdict = readValue(cursor, options);
    if (verdict === 'fine' && verdicts === null) continue;
    const key = String(JSON.parse(cursor.bytes.toString('utf8', nameStart, nameEnd)));
    if (verdict === 'misfit') refuseMisfit(cursor, start, `metadatas[${index}].${key}: `, options.kind);
    verdicts ??= new Map();
    if (verdict === 'fine') verdicts.delete(mapKey(key));
    else verdicts.set(mapKey(key), { verdict, key });
  } while (cursor.nextMember());
  for (const { key, verdict } of verdicts?.values() ?? []) note(verdict, index, key, options.faults);
}

function note(
  verdict: Exclude<Verdict, 'fine' | 'misfit'>,
  index: number,
  key: string,
  faults: Faults,
): void {
  if (verdict === 'unsound') faults.add('metadatas', invalidAt(index));
  else if (verdict === 'sparse') {
    const message = `Unimplemented: Sparse vector is not supported for local chroma: ${key}`;
    faults.add('sparse', { status: 501, error: 'ChromaError', message });
  } else
    faults.add('ours', 'Metadata integers must be within signed 64 bits: the server would round this one');
}

// The server reads the whole value before it tries the variants, so faults of syntax come first.
function refuseMisfit(cursor: JsonCursor, start: number, path: string, kind: RecordKind): never {
  cursor.pos = start;
  cursor.value(true, METADATA_DEPTH);
  const type = kind === 'add' ? 'MetadataValue' : 'UpdateMetadataValue';
  throw new RefusedBody(misfit(cursor.bytes, cursor.pos, path, type));
}

// The key ends at the cursor.
function judgeKey(
  cursor: JsonCursor,
  start: number,
  index: number,
  { arrays, faults }: MetadataOptions,
): void {
  const first = cursor.bytes[start + 1] ?? 0;
  const suspicious = first === FIRST_OF_RESERVED || first === HASH || first === DOLLAR || first === QUOTE;
  if (!suspicious && !cursor.stringEscaped) return;
  const key = cursor.decoded(start);
  if (key.startsWith(RESERVED_PREFIX)) {
    faults.add('ours', `Metadata key cannot start with '${RESERVED_PREFIX}': ${key}`);
  }
  // NEW: rust/types/src/validators.rs, validate_metadata_key; older servers take such keys.
  if (arrays && (key === '' || key.startsWith('#') || key.startsWith('$'))) {
    faults.add('metadatas', invalidAt(index));
  }
}

const invalidAt = (index: number): string =>
  `Validation error: metadatas: Invalid metadata at index ${index}`;

type Verdict = 'fine' | 'misfit' | 'unsafe' | 'sparse' | 'unsound';

function readValue(cursor: JsonCursor, { kind, arrays }: MetadataOptions): Verdict {
  const byte = cursor.peek();
  if (byte === OBJECT_OPEN) return arrays ? readObject(cursor) : 'misfit';
  if (byte === ARRAY_OPEN) return arrays ? readArray(cursor) : 'misfit';
  // Upsert and update take null as "remove this key" (observed).
  if (byte === LETTER_N && kind === 'add') return 'misfit';
  return readScalar(cursor, byte);
}

function readObject(cursor: JsonCursor): Verdict {
  const verdict = readSparseVector(cursor, METADATA_DEPTH);
  if (verdict === 'misfit') return verdict;
  return verdict === 'sound' ? 'sparse' : 'unsound';
}

function readScalar(cursor: JsonCursor, byte: number): Verdict {
  const start = cursor.pos;
  cursor.scalar(byte, true);
  if (byte !== MINUS && !isDigit(byte)) return 'fine';
  if (!cursor.numberIsInteger || cursor.numberMagnitude <= SAFE_INTEGER_DIGITS) return 'fine';
  return survives(cursor.bytes.toString('latin1', start, cursor.pos)) ? 'fine' : 'unsafe';
}

// Observed: from 2^63 on, and below -2^63, the server stores an integer as the nearest double. JavaScript's clients
// write doubles of that size as integers, and those it keeps; the 64-bit hash of another client it would change.
function survives(text: string): boolean {
  const integer = BigInt(text);
  if (integer >= INTEGER_MIN && integer <= INTEGER_MAX) return true;
  const double = Number(text);
  return String(double) === text || BigInt(double) === integer;
}

// NEW: arrays of strings, of booleans, of numbers; nothing nested, nothing mixed, no null.
function readArray(cursor: JsonCursor): Verdict {
  if (!cursor.openArray()) return 'fine';
  let verdict: Verdict = 'fine';
  let type: string | null = null;
  do {
    const byte = cursor.peek();
    const element = elementType(byte);
    if (element === null || (type !== null && type !== element)) return 'misfit';
    type = element;
    if (readScalar(cursor, byte) === 'unsafe') verdict = 'unsafe';
  } while (cursor.nextElement());
  return verdict;
}

function elementType(byte: number): string | null {
  if (byte === QUOTE) return 'string';
  if (byte === MINUS || isDigit(byte)) return 'number';
  return byte === ARRAY_OPEN || byte === OBJECT_OPEN || byte === LETTER_N ? null : 'boolean';
}
