// Builds the responses with which Chroma rejects a body: status, error name and message of a 1.0.5 server.

import {
  ARRAY_OPEN,
  isDigit,
  isSpace,
  LETTER_N,
  MINUS,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type JsonCursor,
  type JsonSyntaxError,
} from './json.ts';
import { pathTo } from './json-path.ts';

// Messages quote the faulty value; this much identifies it.
const QUOTED_BYTES_MAX = 200;

/** The response with which Chroma rejects a body. */
export interface Refusal {
  readonly status: number;
  readonly error: string;
  readonly message: string;
  /**
   * For a write whose body could be read: what a server checks before. That is whether the collection exists, and
   * then, unless `dimension` is null, whether the embeddings have its dimension.
   */
  readonly after?: { readonly dimension: number | null };
}

/** Thrown while a body is read; scanRecordCall and readTopLevel return its refusal. */
export class RefusedBody extends Error {
  override readonly name = 'RefusedBody';
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Whether a reader of bodies returned a refusal. */
export function isRefusal(result: object): result is Refusal {
  return 'status' in result && 'error' in result;
}

/** Rejects a body of the right shape whose values are invalid. */
export function invalidArgument(message: string): Refusal {
  return { status: 400, error: 'InvalidArgumentError', message };
}

// Rejects a body that is not JSON, which is known once `consumed` bytes are read.
function malformed(body: Buffer, consumed: number, reason: string): Refusal {
  return invalidArgument(`Failed to parse the request body as JSON: ${reason}${place(body, consumed)}`);
}

/** Rejects a body with a syntax error; `follows` as for `pathTo`. */
export function syntaxRefusal(
  body: Buffer,
  error: JsonSyntaxError,
  follows: (member: string) => boolean,
): Refusal {
  return malformed(
    body,
    Math.min(error.offset + 1, body.length),
    pathTo(body, error, follows) + error.message,
  );
}

/** Rejects JSON of another shape than the operation accepts, which is known once `consumed` bytes are read. */
export function shapeRefusal(body: Buffer, consumed: number, reason: string): Refusal {
  const message = `Failed to deserialize the JSON body into the target type: ${reason}${place(body, consumed)}`;
  return { status: 422, error: 'ChromaError', message };
}

/**
 * Rejects the value that ends at the cursor, because it matches no variant of the untagged enum `type`. serde_json then
 * still tries to end the map, so it has read up to the next comma, or past a closing brace.
 */
export function refuseVariant({ bytes, pos }: JsonCursor, path: string, type: string): never {
  let at = pos;
  while (isSpace(bytes[at])) at++;
  if (bytes[at] === OBJECT_CLOSE) at++;
  const reason = `${path}data did not match any variant of untagged enum ${type}`;
  throw new RefusedBody(shapeRefusal(bytes, at, reason));
}

// serde_json counts lines from 1 and columns in bytes read since the last line feed.
function place(body: Buffer, consumed: number): string {
  let line = 1;
  let lineStart = 0;
  for (let feed = body.indexOf(0x0a); feed >= 0 && feed < consumed; feed = body.indexOf(0x0a, feed + 1)) {
    line++;
    lineStart = feed + 1;
  }
  return ` at line ${line} column ${consumed - lineStart}`;
}

/** Rejects the value at the cursor for its type; `path` is its place, as in `ids[0]: `. */
export function refuseType(cursor: JsonCursor, path: string, expected: string): never {
  const { bytes } = cursor;
  const byte = cursor.peek();
  const start = cursor.pos;
  // serde stops at the opening bracket of a sequence or a map.
  if (byte !== ARRAY_OPEN && byte !== OBJECT_OPEN) cursor.scalar(byte, true);
  const found = describe(bytes, start, cursor.pos);
  // Any integer has the right type for a u32.
  const wrong = expected === 'u32' && found.startsWith('integer') ? 'value' : 'type';
  throw new RefusedBody(
    shapeRefusal(bytes, cursor.pos, `${path}invalid ${wrong}: ${found}, expected ${expected}`),
  );
}

// serde's description of the value between `start` and `end`.
function describe(body: Buffer, start: number, end: number): string {
  const byte = body[start] ?? 0;
  const text = body.toString('utf8', start, Math.min(end, start + QUOTED_BYTES_MAX));
  if (byte === ARRAY_OPEN) return 'sequence';
  if (byte === OBJECT_OPEN) return 'map';
  if (byte === QUOTE)
    return `string ${end - start > QUOTED_BYTES_MAX ? text : JSON.stringify(JSON.parse(text))}`;
  if (byte === LETTER_N) return 'null';
  if (byte === MINUS || isDigit(byte)) return describeNumber(text);
  return `boolean \`${text}\``;
}

const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 64n - 1n;

// serde_json keeps integers of 64 bits; any other number becomes a double and is written as such.
function describeNumber(text: string): string {
  if (/^-?\d+$/.test(text) && text !== '-0') {
    const integer = BigInt(text);
    if (integer >= INTEGER_MIN && integer <= INTEGER_MAX) return `integer \`${text}\``;
  }
  return `floating point \`${double(Number(text))}\``;
}

// As the crate ryu writes a double: with a point, and with an exponent outside 1e-5 to 1e16.
function double(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const exponent = value === 0 ? 0 : Number(value.toExponential().split('e')[1]);
  if (exponent < -5 || exponent > 15) return value.toExponential();
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
