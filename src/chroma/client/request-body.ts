// Sends a large request body in pieces, the last of which waits for a check.

/** Bodies up to this size are sent in one piece, larger ones in pieces of this size. */
export const PIECE_BYTES = 256 * 1024;
// Bytes of a large body held back until beforeLast() has passed.
const LAST_PIECE_BYTES = 16 * 1024;

/** The `bytes` of `parts` in pieces; `beforeLast` is called before the last piece and may throw. */
export function* splitBody(
  parts: readonly Buffer[],
  bytes: number,
  beforeLast: () => void,
): Generator<Buffer> {
  const last = bytes - LAST_PIECE_BYTES;
  for (let at = 0; at < last; at += PIECE_BYTES) yield sliceOf(parts, at, Math.min(at + PIECE_BYTES, last));
  beforeLast();
  yield sliceOf(parts, last, bytes);
}

function sliceOf(parts: readonly Buffer[], start: number, end: number): Buffer {
  const taken: Buffer[] = [];
  let at = 0;
  for (const part of parts) {
    if (at < end && at + part.length > start) taken.push(part.subarray(Math.max(0, start - at), end - at));
    at += part.length;
  }
  return joinBuffers(taken);
}

/** The parts as one buffer; a single part is not copied. */
export function joinBuffers(parts: readonly Buffer[]): Buffer {
  const [only] = parts;
  return only !== undefined && parts.length === 1 ? only : Buffer.concat(parts);
}
