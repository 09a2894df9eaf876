// The words in which Chroma's servers refuse a body: status, error name and message as a 1.0.5 server gives them.

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

// Messages quote the offending value; a client needs no more of it than this to know which.
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

/** Thrown inside the scanner, turned into its result at the top. */
export class RefusedBody extends Error {
  override readonly name = 'RefusedBody';
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Tells a refusal from what a reader of bodies returns otherwise. */
export function isRefusal(result: object): result is Refusal {
  return 'status' in result && 'error' in result;
}

/** The answer to a body that is JSON of the right shape but asks for what Chroma does not do. */
export function invalid(message: string): Refusal {
  return { status: 400, error: 'InvalidArgumentError', message };
}

// The answer to a body that is not JSON, which shows once `consumed` bytes are read.
function malformed(body: Buffer, consumed: number, reason: string): Refusal {
  return invalid(`Failed to parse the request body as JSON: ${reason}${place(body, consumed)}`);
}

/** The answer to a body in which a fault of syntax was found; `follows` as for `pathTo`. */
export function unreadable(
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

/** The answer to JSON of another shape than the operation takes, which shows once `consumed` bytes are read. */
export function misshapen(body: Buffer, consumed: number, reason: string): Refusal {
  const message = `Failed to deserialize the JSON body into the target type: ${reason}${place(body, consumed)}`;
  return { status: 422, error: 'ChromaError', message };
}

/**
 * As `misshapen`, for the value of a member that fits none of the variants of an untagged enum. serde_json then still
 * tries to end the map, and so has read up to the next comma, or past a closing brace.
 */
export function misfit(body: Buffer, end: number, path: string, type: string): Refusal {
  let at = end;
  while (isSpace(body[at])) at++;
  if (body[at] === OBJECT_CLOSE) at++;
  return misshapen(body, at, `${path}data did not match any variant of untagged enum ${type}`);
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

/** Refuses the value at the cursor for its type; `path` says where it is, as in `ids[0]: `. */
export function refuseType(cursor: JsonCursor, path: string, expected: string): never {
  const { bytes } = cursor;
  const byte = cursor.peek();
  const start = cursor.pos;
  // serde sees only the opening bracket of a sequence or a map before it gives up.
  if (byte !== ARRAY_OPEN && byte !== OBJECT_OPEN) cursor.scalar(byte, true);
  const found = describe(bytes, start, cursor.pos);
  // An integer for a u32 is of the right type, whatever its size.
  const wrong = expected === 'u32' && found.startsWith('integer') ? 'value' : 'type';
  throw new RefusedBody(
    misshapen(bytes, cursor.pos, `${path}invalid ${wrong}: ${found}, expected ${expected}`),
  );
}

// What serde calls the value between `start` and `end`.
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

// serde_json keeps what fits 64 bits as an integer; everything else it turns into a double, and writes that.
function describeNumber(text: string): string {
  if (/^-?\d+$/.test(text) && text !== '-0') {
    const integer = BigInt(text);
    if (integer >= INTEGER_MIN && integer <= INTEGER_MAX) return `integer \`${text}\``;
  }
  return `floating point \`${double(Number(text))}\``;
}

// As the crate ryu writes a double: with a point, and with an exponent outside of 1e-5 to 1e16.
function double(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const exponent = value === 0 ? 0 : Number(value.toExponential().split('e')[1]);
  if (exponent < -5 || exponent > 15) return value.toExponential();
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
