// Measures the filters of a request and enforces their limits.
//
// A server turns `ids`, `where` and `where_document` into one SQLite statement. Beyond SQLite's limits it answers 500, and
// beyond some 5,000 conditions its process ends (docs/chroma-behaviour.md).

import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  COMMA,
  isDigit,
  MINUS,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type Slice,
} from './json.ts';
import { closingQuote } from './json-path.ts';
import { invalidArgument, type Refusal } from './refusal.ts';

export interface FilterSize {
  /** Conditions including `$and` and `$or`, each of which may add a level to the expression that SQLite parses. */
  conditions: number;
  /** SQL variables for ids, values and keys. */
  operands: number;
  /** Operators around the innermost condition. */
  depth: number;
  /** Of the longest text in `where_document` as SQLite gets it, in which `_`, `%` and `\` take two bytes. */
  patternBytes: number;
}

export interface FilterLimits {
  readonly conditionsMax: number;
  readonly operandsMax: number;
  readonly depthMax: number;
  readonly patternBytesMax: number;
}

/**
 * 1.0.5 and 1.5.9 serve any combination within these limits (measured). SQLite parses expressions 1,000 levels deep, of
 * which a server uses some itself: it serves 961 conditions in every arrangement and fails with 991 in some. It binds
 * 32,766 variables, of which a server uses 3. serde parses 62 operators around a condition. SQLite matches patterns of
 * 50,000 bytes, of which a server adds 2.
 */
export const DEFAULT_FILTER_LIMITS: FilterLimits = {
  conditionsMax: 900,
  operandsMax: 32_700,
  depthMax: 62,
  patternBytesMax: 49_998,
};

// A condition on a number is matched against integers and floats, each time by key and value.
const WHERE_VARIABLES = 4;
const DOCUMENT_VARIABLES = 1;
const NUMBER_VARIABLES = 2;

const UNDERSCORE = 0x5f;
const PERCENT = 0x25;

// serde parses 127 levels: deeper ones never reach a server's filter code and need not be measured.
const LEVELS_MAX = 256;

/** Adds the size of the filter in `slice` of `bytes`, which is well-formed JSON, to `size`. */
export function measureFilter(
  bytes: Buffer,
  { start, end }: Slice,
  { isDocument, size }: { readonly isDocument: boolean; readonly size: FilterSize },
): void {
  // For each open array or object: whether it is an array.
  const open: boolean[] = [];
  let arrays = 0;
  for (let pos = start; pos < end; pos++) {
    const byte = bytes[pos] ?? 0;
    const inArray = open.at(-1) === true;
    if (byte === QUOTE) {
      const from = pos + 1;
      pos = closingQuote(bytes, pos);
      if (isDocument) size.patternBytes = Math.max(size.patternBytes, patternBytes(bytes, from, pos));
      if (inArray) size.operands += 1;
    } else if (byte === ARRAY_OPEN) {
      open.push(true);
      arrays += 1;
      if (open.length > LEVELS_MAX) return;
    } else if (byte === OBJECT_OPEN) {
      if (inArray || open.length === 0) {
        size.conditions += 1;
        size.operands += isDocument ? DOCUMENT_VARIABLES : WHERE_VARIABLES;
        size.depth = Math.max(size.depth, arrays);
      }
      open.push(false);
      if (open.length > LEVELS_MAX) return;
    } else if (byte === ARRAY_CLOSE || byte === OBJECT_CLOSE) {
      if (open.pop() === true) arrays -= 1;
    } else if (byte === COMMA) {
      // No server accepts an object with a second member, but it reads all of them first: 3,000,000 take seconds.
      if (!inArray) size.conditions += 1;
    } else if (isScalarStart(byte)) {
      if (inArray) size.operands += byte === MINUS || isDigit(byte) ? NUMBER_VARIABLES : 1;
      while (isScalarByte(bytes[pos + 1] ?? 0)) pos++;
    }
  }
}

/** At most so many bytes does the string between two quotes take; escapes of JSON are counted as they stand. */
function patternBytes(bytes: Buffer, from: number, to: number): number {
  let count = to - from;
  for (let pos = from; pos < to; pos++) if (bytes[pos] === UNDERSCORE || bytes[pos] === PERCENT) count += 1;
  return count;
}

/** Why a request of this size is rejected; null within the limits. */
export function filterRefusal(
  { conditions, operands, depth, patternBytes: bytes }: FilterSize,
  { conditionsMax, operandsMax, depthMax, patternBytesMax }: FilterLimits,
): Refusal | null {
  if (bytes > patternBytesMax) {
    return invalidArgument(
      `A text in where_document takes ${bytes} bytes, with "_", "%" and "\\" counted twice; at most ${patternBytesMax} are allowed (FILTER_PATTERN_BYTES_MAX).`,
    );
  }
  if (depth > depthMax) {
    return invalidArgument(
      `The filter nests $and and $or ${depth} deep; at most a depth of ${depthMax} is allowed (FILTER_DEPTH_MAX).`,
    );
  }
  if (conditions > conditionsMax) {
    return invalidArgument(
      `where and where_document hold ${conditions} conditions, each $and and $or counted as one; at most ${conditionsMax} are allowed (FILTER_CONDITIONS_MAX).`,
    );
  }
  if (operands <= operandsMax) return null;
  return invalidArgument(
    `ids, where and where_document need ${operands} SQL variables; at most ${operandsMax} are allowed (FILTER_OPERANDS_MAX). An id and a string or boolean of a list need 1, a number of a list ${NUMBER_VARIABLES}, a condition of where ${WHERE_VARIABLES}, one of where_document ${DOCUMENT_VARIABLES}.`,
  );
}

const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;

function isScalarStart(byte: number): boolean {
  return byte === MINUS || isDigit(byte) || isLetter(byte);
}

// Including the point and the plus of a number.
function isScalarByte(byte: number): boolean {
  return isScalarStart(byte) || byte === 0x2e || byte === 0x2b;
}
