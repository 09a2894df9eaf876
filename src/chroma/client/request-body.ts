// A request body on its way out: in one piece, or in several of which the last waits for permission.

/** Bodies up to this size go out in one piece; larger ones in pieces of this size (the last one small, see below). */
export const PIECE_BYTES = 256 * 1024;
// What is kept back of a large body until beforeLast() has agreed.
const LAST_PIECE_BYTES = 16 * 1024;

/** The `bytes` of `parts` piece by piece; `beforeLast` is called before the last one and may throw. */
export function* inPieces(
  parts: readonly Buffer[],
  bytes: number,
  beforeLast: () => void,
): Generator<Buffer> {
  const last = bytes - LAST_PIECE_BYTES;
  for (let at = 0; at < last; at += PIECE_BYTES) yield slice(parts, at, Math.min(at + PIECE_BYTES, last));
  beforeLast();
  yield slice(parts, last, bytes);
}

function slice(parts: readonly Buffer[], start: number, end: number): Buffer {
  const taken: Buffer[] = [];
  let at = 0;
  for (const part of parts) {
    if (at < end && at + part.length > start) taken.push(part.subarray(Math.max(0, start - at), end - at));
    at += part.length;
  }
  return gather(taken);
}

/** The parts as one buffer, not copied when there is but one. */
export function gather(parts: readonly Buffer[]): Buffer {
  const [only] = parts;
  return only !== undefined && parts.length === 1 ? only : Buffer.concat(parts);
}
