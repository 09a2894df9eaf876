// The path that serde's messages give for a syntax error: `metadatas[1].colour: `.
//
// Written by the crate serde_path_to_error (observed on 1.0.5 and 1.3.4). Needed for rejected bodies only, so the body is
// read again.

import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  BACKSLASH,
  COMMA,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
  type JsonSyntaxError,
} from './json.ts';

interface OpenValue {
  readonly isArray: boolean;
  index: number;
  /** Key of the member being read; null before it is complete. */
  key: string | null;
}

/**
 * The path to a syntax error, with the colon and space after it; empty at the top level. `follows`: whether serde
 * reads the value of a member of the body or skips it as a whole.
 */
export function pathTo(body: Buffer, error: JsonSyntaxError, follows: (member: string) => boolean): string {
  const open = openAt(body, error.token);
  const [top] = open;
  const within = open.length > 1 || error.place === 'inside';
  if (within && top?.isArray === false && top.key !== null && !follows(top.key)) return `${top.key}: `;
  const segments = open.map((value, depth) => {
    const place = depth === open.length - 1 ? error.place : 'inside';
    if (value.isArray) return place === 'inside' ? `[${value.index}]` : '';
    if (place === 'after_key') return '';
    return place === 'between' || value.key === null ? '.?' : `.${value.key}`;
  });
  // serde gives no path when the member of the body is unknown to it.
  const path = segments.join('').replace(/^\./, '');
  return path === '' || path === '?' ? '' : `${path}: `;
}

/** The arrays and objects open at `end`, outermost first. */
function openAt(body: Buffer, end: number): OpenValue[] {
  const open: OpenValue[] = [];
  for (let pos = 0; pos < end; pos++) {
    const byte = body[pos];
    const inner = open.at(-1);
    if (byte === QUOTE) {
      const close = closingQuote(body, pos);
      if (inner !== undefined && !inner.isArray)
        inner.key ??= String(JSON.parse(body.toString('utf8', pos, close + 1)));
      pos = close;
    } else if (byte === ARRAY_OPEN || byte === OBJECT_OPEN) {
      open.push({ isArray: byte === ARRAY_OPEN, index: 0, key: null });
    } else if (byte === ARRAY_CLOSE || byte === OBJECT_CLOSE) open.pop();
    else if (byte === COMMA && inner !== undefined) {
      inner.index++;
      inner.key = null;
    }
  }
  return open;
}

/** Position of the closing quote of the well-formed string that begins at `start`. */
export function closingQuote(body: Buffer, start: number): number {
  let pos = start + 1;
  while (pos < body.length && body[pos] !== QUOTE) pos += body[pos] === BACKSLASH ? 2 : 1;
  return pos;
}
