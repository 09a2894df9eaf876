// Finds values in a server's own compact JSON answers, as byte offsets. Nothing is checked: the text is trusted.

export const QUOTE = 0x22;
const BACKSLASH = 0x5c;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const ARRAY_OPEN = 0x5b;
const ARRAY_CLOSE = 0x5d;
export const OBJECT_OPEN = 0x7b;
export const OBJECT_CLOSE = 0x7d;

/** Bytes at which skipping a value has to look closer. */
const STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, ARRAY_OPEN, ARRAY_CLOSE, OBJECT_OPEN, OBJECT_CLOSE]) STRUCTURAL[byte] = 1;

/** Where each element of the array at `start` ends: at the comma or bracket after it. */
export function elementEnds(bytes: Buffer, start: number): number[] {
  const ends: number[] = [];
  let pos = start + 1;
  if (bytes[pos] === ARRAY_CLOSE) return ends;
  while (pos < bytes.length) {
    pos = valueEnd(bytes, pos);
    ends.push(pos);
    if (bytes[pos] !== COMMA) break;
    pos += 1;
  }
  return ends;
}

/** Where the value at `start` ends. */
export function valueEnd(bytes: Buffer, start: number): number {
  let pos = start;
  const first = bytes[pos] as number;
  if (first === QUOTE) return stringEnd(bytes, pos);
  if (first !== ARRAY_OPEN && first !== OBJECT_OPEN) {
    while (
      pos < bytes.length &&
      bytes[pos] !== COMMA &&
      bytes[pos] !== ARRAY_CLOSE &&
      bytes[pos] !== OBJECT_CLOSE
    )
      pos++;
    return pos;
  }
  let depth = 0;
  while (pos < bytes.length) {
    const byte = bytes[pos] as number;
    if (STRUCTURAL[byte] === 0) {
      pos++;
      continue;
    }
    if (byte === QUOTE) {
      pos = stringEnd(bytes, pos);
      continue;
    }
    depth += byte === ARRAY_OPEN || byte === OBJECT_OPEN ? 1 : -1;
    pos++;
    if (depth === 0) return pos;
  }
  return pos;
}

/** Where the string at `start` ends: behind its closing quote. */
export function stringEnd(bytes: Buffer, start: number): number {
  for (let pos = start + 1; ; pos++) {
    pos = bytes.indexOf(QUOTE, pos);
    if (pos < 0) return bytes.length;
    let backslashes = 0;
    while (bytes[pos - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return pos + 1;
  }
}
