// Reads and replaces single values in the bodies of schema calls and in the servers' answers. Works on tokens: every
// byte that is not replaced stays as it was (I11), so that numbers and unknown fields survive.

import { isUtf8 } from 'node:buffer';
import {
  ARRAY_CLOSE,
  ARRAY_OPEN,
  isDigit,
  JsonCursor,
  JsonSyntaxError,
  LETTER_N,
  MINUS,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  QUOTE,
} from './json.ts';
import type { Refusal, Slice } from './record-call.ts';
import { malformed, misshapen, RefusedBody, refuseType } from './refusal.ts';

/** A value at the top level of a body, with the bytes it was written in. */
export type TopLevelValue = { readonly slice: Slice } & (
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'null' | 'number' | 'object' | 'array' }
);

/** The values of those of `keys` that the object in `body` has, or what Chroma answers to a body it cannot read. */
export function readTopLevel<Key extends string>(
  body: Buffer,
  keys: readonly Key[],
): ReadonlyMap<Key, TopLevelValue> | Refusal {
  const found = new Map<Key, TopLevelValue>();
  const cursor = new JsonCursor(body);
  try {
    if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, '', 'a map');
    readMembers(cursor, (name) => {
      const key = keys.find((candidate) => candidate === name);
      // Unknown fields are skipped without their numbers or escapes being looked at (observed).
      if (key === undefined) return cursor.value(false, 1);
      if (found.has(key)) throw new RefusedBody(misshapen(body, cursor.pos, `duplicate field \`${key}\``));
      found.set(key, readValue(cursor));
    });
    cursor.end();
    if (!isUtf8(body)) cursor.fail('invalid unicode code point', body.length);
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (error instanceof JsonSyntaxError) {
      return malformed(body, Math.min(error.offset + 1, body.length), error.message);
    }
    throw error;
  }
  return found;
}

/** The body of a create with `get_or_create` set, so that repeating it does no harm (I4). Throws when it is no object. */
export function withGetOrCreate(body: Buffer): Buffer {
  const cursor = new JsonCursor(body);
  if (cursor.peek() !== OBJECT_OPEN) cursor.fail('expected an object');
  const inside = cursor.pos + 1;
  const edits: Edit[] = [];
  let members = 0;
  readMembers(cursor, (name) => {
    members++;
    const start = cursor.pos;
    cursor.value(false, 1);
    if (name === 'get_or_create') edits.push({ start, end: cursor.pos, text: 'true' });
  });
  if (edits.length === 0) {
    edits.push({ start: inside, end: inside, text: `"get_or_create":true${members > 0 ? ',' : ''}` });
  }
  return edited(body, edits);
}

/** What a Collection object says of who it is; a function is given the old value. */
export type CollectionIdentity = Partial<
  Record<'id' | 'name' | 'tenant' | 'database', string | ((old: string) => string)>
>;

/** A Collection object, or an array of them, with its `id` replaced. Throws when `json` is neither. */
export function withCollectionId(json: Buffer, id: string): Buffer {
  return withCollectionIdentity(json, { id });
}

/** As withCollectionId, for any of the strings that identify a collection; a field that is absent stays absent. */
export function withCollectionIdentity(json: Buffer, identity: CollectionIdentity): Buffer {
  const cursor = new JsonCursor(json);
  const edits: Edit[] = [];
  const replacements = new Map(Object.entries(identity));
  const collection = (): void => {
    if (cursor.peek() !== OBJECT_OPEN) cursor.fail('expected an object');
    readMembers(cursor, (name) => {
      const replacement = replacements.get(name);
      const start = cursor.pos;
      if (replacement === undefined || cursor.peek() !== QUOTE) return cursor.value(false, 2);
      cursor.string(true);
      const value = typeof replacement === 'string' ? replacement : replacement(cursor.decoded(start));
      edits.push({ start, end: cursor.pos, text: JSON.stringify(value) });
    });
  };
  if (cursor.peek() === ARRAY_OPEN) {
    cursor.pos++;
    if (cursor.peek() === ARRAY_CLOSE) cursor.pos++;
    else {
      do collection();
      while (cursor.nextElement());
    }
  } else collection();
  cursor.end();
  return edited(json, edits);
}

// Calls `member` at the value of each member of the object whose bracket stands here; it must consume the value.
function readMembers(cursor: JsonCursor, member: (name: string) => void): void {
  cursor.pos++;
  if (cursor.peek() === OBJECT_CLOSE) {
    cursor.pos++;
    return;
  }
  do {
    const name = cursor.decoded(cursor.name(true));
    cursor.colon();
    cursor.peek();
    member(name);
  } while (cursor.nextMember());
}

function readValue(cursor: JsonCursor): TopLevelValue {
  const byte = cursor.peek();
  const start = cursor.pos;
  cursor.value(true, 1);
  const slice = { start, end: cursor.pos };
  if (byte === QUOTE) return { type: 'string', value: cursor.decoded(start), slice };
  if (byte === OBJECT_OPEN) return { type: 'object', slice };
  if (byte === ARRAY_OPEN) return { type: 'array', slice };
  if (byte === LETTER_N) return { type: 'null', slice };
  if (byte === MINUS || isDigit(byte)) return { type: 'number', slice };
  return { type: 'boolean', value: slice.end - slice.start === 'true'.length, slice };
}

interface Edit extends Slice {
  readonly text: string;
}

// `edits` are in the order of their places and do not overlap.
function edited(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, text } of edits) {
    parts.push(bytes.subarray(from, start), Buffer.from(text));
    from = end;
  }
  parts.push(bytes.subarray(from));
  return Buffer.concat(parts);
}
