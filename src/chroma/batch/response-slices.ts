// Finds values in the compact JSON of a server's responses, as byte offsets. The text is trusted, not validated.

import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  BACKSLASH,
  COLON,
  COMMA,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
} from '../parse/json.ts';

/** Bytes that skipping a value must examine. */
const STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, ARRAY_OPEN, ARRAY_CLOSE, OBJECT_OPEN, OBJECT_CLOSE]) STRUCTURAL[byte] = 1;

/** A member of a response's object. */
export interface ResponseColumn {
  readonly name: string;
  /** Byte offsets of its value. */
  readonly start: number;
  readonly end: number;
  /** Where each element ends; null for a value that all members of a batch share (null, and `include`). */
  readonly ends: readonly number[] | null;
}

/** The columns of the response to a get or a query; null when it has another form. */
export function columnsOf(response: Buffer): ResponseColumn[] | null {
  if (response[0] !== OBJECT_OPEN) return null;
  const columns: ResponseColumn[] = [];
  let pos = 1;
  while (response[pos] === QUOTE) {
    const nameEnd = stringEnd(response, pos);
    const name = response.toString('latin1', pos + 1, nameEnd - 1);
    if (response[nameEnd] !== COLON) return null;
    const start = nameEnd + 1;
    const isArray = response[start] === ARRAY_OPEN && name !== 'include';
    const ends = isArray ? elementEnds(response, start) : null;
    const end = ends === null ? valueEnd(response, start) : (ends.at(-1) ?? start + 1) + 1;
    columns.push({ name, start, end, ends });
    pos = response[end] === COMMA ? end + 1 : end;
  }
  return response[pos] === OBJECT_CLOSE && pos + 1 === response.length ? columns : null;
}

/** Where element `index` of the array at `start` begins. */
export function elementStart(start: number, ends: readonly number[], index: number): number {
  return index === 0 ? start + 1 : (ends[index - 1] as number) + 1;
}

/** The string whose JSON text is from `start` to `end`. */
export function stringAt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start + 1, end - 1);
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text;
}

/** Where each element of the array at `start` ends: the offset of the comma or bracket after it. */
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
function valueEnd(bytes: Buffer, start: number): number {
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

/** Where the string at `start` ends: after its closing quote. */
export function stringEnd(bytes: Buffer, start: number): number {
  for (let pos = start + 1; ; pos++) {
    pos = bytes.indexOf(QUOTE, pos);
    if (pos < 0) return bytes.length;
    let backslashes = 0;
    while (bytes[pos - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return pos + 1;
  }
}
