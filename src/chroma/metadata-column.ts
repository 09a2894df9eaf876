// Reads one record's metadata: a flat object of strings, numbers and booleans, on newer servers also of arrays.

import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  isDigit,
  LETTER_N,
  MINUS,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type JsonCursor,
} from './json.ts';
import type { RecordKind, Refusal } from './record-call.ts';
import { invalid, misfit, RefusedBody, refuseType } from './refusal.ts';

// Chroma keeps documents and uris among the metadata under keys with this prefix. A `chroma:document` that is no
// string ends the server's log reader: from then on every write fails, until restart and after (hazard 2). Others
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

/**
 * Consumes the metadata object at the cursor and returns the first fault in it, if any; throws RefusedBody when its
 * shape is wrong. `arrays` says whether the servers are of the level that has arrays (NEW).
 */
export function readMetadata(
  cursor: JsonCursor,
  index: number,
  kind: RecordKind,
  arrays: boolean,
): Refusal | null {
  if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, `metadatas[${index}]: `, 'a map');
  cursor.pos++;
  if (cursor.peek() === OBJECT_CLOSE) {
    cursor.pos++;
    return null;
  }
  let problem: Refusal | null = null;
  do {
    const nameStart = cursor.name(true);
    const keyProblem = judgeKey(cursor, nameStart, index, arrays);
    const nameEnd = cursor.pos;
    cursor.colon();
    cursor.peek();
    const start = cursor.pos;
    const verdict = readValue(cursor, kind, arrays);
    if (verdict === 'misfit') {
      cursor.pos = start;
      cursor.value(true, METADATA_DEPTH);
      const key = cursor.bytes.toString('utf8', nameStart + 1, nameEnd - 1);
      const type = kind === 'add' ? 'MetadataValue' : 'UpdateMetadataValue';
      throw new RefusedBody(misfit(cursor.bytes, cursor.pos, `metadatas[${index}].${key}: `, type));
    }
    problem ??= keyProblem;
    if (verdict === 'unsafe') {
      problem ??= invalid('Metadata integers must be within signed 64 bits: the server would round this one');
    }
  } while (cursor.nextMember());
  return problem;
}

// The key ends at the cursor.
function judgeKey(cursor: JsonCursor, start: number, index: number, isNew: boolean): Refusal | null {
  const first = cursor.bytes[start + 1] ?? 0;
  const suspicious = first === FIRST_OF_RESERVED || first === HASH || first === DOLLAR || first === QUOTE;
  if (!suspicious && !cursor.stringEscaped) return null;
  const key = cursor.decoded(start);
  if (key.startsWith(RESERVED_PREFIX))
    return invalid(`Metadata key cannot start with '${RESERVED_PREFIX}': ${key}`);
  // NEW: rust/types/src/validators.rs, validate_metadata_key; older servers take such keys.
  if (isNew && (key === '' || key.startsWith('#') || key.startsWith('$'))) {
    return invalid(`Validation error: metadatas: Invalid metadata at index ${index}`);
  }
  return null;
}

type Verdict = 'fine' | 'misfit' | 'unsafe';

function readValue(cursor: JsonCursor, kind: RecordKind, arrays: boolean): Verdict {
  const byte = cursor.peek();
  if (byte === OBJECT_OPEN) return 'misfit';
  if (byte === ARRAY_OPEN) return arrays ? readArray(cursor) : 'misfit';
  // Upsert and update take null as "remove this key" (observed).
  if (byte === LETTER_N && kind === 'add') return 'misfit';
  return readScalar(cursor, byte);
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
  cursor.pos++;
  if (cursor.peek() === ARRAY_CLOSE) {
    cursor.pos++;
    return 'fine';
  }
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
