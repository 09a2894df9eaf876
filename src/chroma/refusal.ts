// The words in which Chroma's servers refuse a body: status, error name and message as a 1.0.5 server gives them.

import {
  ARRAY_OPEN,
  isDigit,
  LETTER_N,
  MINUS,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type JsonCursor,
} from './json.ts';
import type { Refusal, Slice } from './record-call.ts';

// Messages quote the offending value; a client needs no more of it than this to know which.
const QUOTED_BYTES_MAX = 200;

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

/** The answer to a body that is not JSON, which shows once `consumed` bytes are read. */
export function malformed(body: Buffer, consumed: number, reason: string): Refusal {
  return invalid(`Failed to parse the request body as JSON: ${reason}${place(body, consumed)}`);
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

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
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

/** The answer to a value of another type than the one expected; `path` says where it is, as in `name: `. */
export function wrongType(body: Buffer, { start, end }: Slice, path: string, expected: string): Refusal {
  // serde sees only the opening bracket of a sequence or a map before it gives up.
  const isList = body[start] === ARRAY_OPEN || body[start] === OBJECT_OPEN;
  const reason = `${path}invalid type: ${describe(body, start, end)}, expected ${expected}`;
  return misshapen(body, isList ? start : end, reason);
}

/** Refuses the value at the cursor for its type; `path` says where it is, as in `ids[0]: `. */
export function refuseType(cursor: JsonCursor, path: string, expected: string): never {
  const { bytes } = cursor;
  const byte = cursor.peek();
  const start = cursor.pos;
  // serde sees only the opening bracket of a sequence or a map before it gives up.
  if (byte !== ARRAY_OPEN && byte !== OBJECT_OPEN) cursor.scalar(byte, true);
  const found = describe(bytes, start, cursor.pos);
  throw new RefusedBody(misshapen(bytes, cursor.pos, `${path}invalid type: ${found}, expected ${expected}`));
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
  if (byte === MINUS || isDigit(byte)) {
    return /[.eE]/.test(text) ? `floating point \`${text}\`` : `integer \`${text}\``;
  }
  return `boolean \`${text}\``;
}
