// Reads and replaces single values in the bodies of schema calls and in the servers' answers. Works on tokens: every
// byte that is not replaced stays as it was (I11), so that numbers and unknown fields survive.

import {
  ARRAY_OPEN,
  isDigit,
  JsonCursor,
  JsonSyntaxError,
  LETTER_F,
  LETTER_N,
  LETTER_T,
  MINUS,
  OBJECT_OPEN,
  QUOTE,
  type Slice,
} from './json.ts';
import { misshapen, RefusedBody, refuseType, unreadable, type Refusal } from './refusal.ts';

/** A value at the top level of a body, with the bytes it was written in. */
export type TopLevelValue = { readonly slice: Slice } & (
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'null' | 'number' | 'object' | 'array' }
);

/** What Chroma's server reads a body into. */
export interface Payload<Key extends string> {
  /** Its name in messages, as in `struct CreateTenantPayload`. */
  readonly name: string;
  /** Of the members that have one type only, null not among them. */
  readonly types?: Readonly<Partial<Record<Key, 'a string' | 'a boolean'>>>;
}

/**
 * The values of those of `keys` that the object in `body` has, or what Chroma answers to a body it cannot read. Without
 * `payload` any object will do.
 */
export function readTopLevel<Key extends string>(
  body: Buffer,
  keys: readonly Key[],
  payload: Payload<Key> = { name: 'a map' },
): ReadonlyMap<Key, TopLevelValue> | Refusal {
  const found = new Map<Key, TopLevelValue>();
  const cursor = new JsonCursor(body, true);
  const known = (name: string): Key | undefined => keys.find((candidate) => candidate === name);
  try {
    if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, '', payload.name);
    const refuseTwice = (name: string): void => {
      const key = known(name);
      if (key === undefined || !found.has(key)) return;
      throw new RefusedBody(misshapen(body, cursor.pos, `duplicate field \`${key}\``));
    };
    const read = (name: string): void => {
      const key = known(name);
      // Unknown fields are skipped without their numbers or escapes being looked at (observed).
      if (key === undefined) return cursor.value(false, 1);
      refuseOther(cursor, key, payload.types?.[key]);
      found.set(key, readValue(cursor));
    };
    readMembers(cursor, read, refuseTwice);
    cursor.end();
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (!(error instanceof JsonSyntaxError)) throw error;
    return unreadable(body, error, (name) => known(name) !== undefined);
  }
  return found;
}

/** The JSON value that `body` begins with, when something follows it; otherwise `body`. */
export function withoutRest(body: Buffer): Buffer {
  const cursor = new JsonCursor(body);
  try {
    cursor.value(false, 0);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return body;
    throw error;
  }
  return body.subarray(0, cursor.pos);
}

// serde gives up at a value of another type, before it reads what follows.
function refuseOther(cursor: JsonCursor, key: string, type: 'a string' | 'a boolean' | undefined): void {
  if (type === undefined) return;
  const byte = cursor.peek();
  if (type === 'a string' ? byte === QUOTE : byte === LETTER_T || byte === LETTER_F) return;
  refuseType(cursor, `${key}: `, type);
}

/** The body of a create with `get_or_create` set to `value`. Throws when it is no object. */
export function withGetOrCreate(body: Buffer, value: boolean): Buffer {
  const cursor = new JsonCursor(body);
  if (cursor.peek() !== OBJECT_OPEN) cursor.fail('expected an object');
  const inside = cursor.pos + 1;
  const edits: Edit[] = [];
  let members = 0;
  readMembers(cursor, (name) => {
    members++;
    const start = cursor.pos;
    cursor.value(false, 1);
    if (name === 'get_or_create') edits.push({ start, end: cursor.pos, text: String(value) });
  });
  if (edits.length === 0) {
    edits.push({ start: inside, end: inside, text: `"get_or_create":${value}${members > 0 ? ',' : ''}` });
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
    if (cursor.openArray()) {
      do collection();
      while (cursor.nextElement());
    }
  } else collection();
  cursor.end();
  return edited(json, edits);
}

// Calls `member` at the value of each member of the object whose bracket stands here; it must consume the value.
// `named` is called after the name.
function readMembers(
  cursor: JsonCursor,
  member: (name: string) => void,
  named: (name: string) => void = () => undefined,
): void {
  if (!cursor.openObject()) return;
  do {
    const name = cursor.decoded(cursor.name(true));
    named(name);
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
