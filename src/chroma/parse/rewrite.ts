// Reads and replaces single values in schema requests and in servers' responses.
//
// All other bytes stay as they are (I11), so that numbers and unknown fields survive.

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
import { shapeRefusal, RefusedBody, refuseType, syntaxRefusal, type Refusal } from './refusal.ts';

/** A value at the top level of a body. */
export type TopLevelValue = { readonly slice: Slice } & (
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'null' | 'number' | 'object' | 'array' }
);

/** The struct into which Chroma's server deserializes a body. */
export interface ChromaStruct<Key extends string> {
  /** Its name in messages, as in `struct CreateTenantPayload`. */
  readonly name: string;
  /** The types of members that have one type only and cannot be null. */
  readonly types?: Readonly<Partial<Record<Key, 'a string' | 'a boolean'>>>;
}

/** The values of `keys` in the object in `body`, or Chroma's refusal; without `struct` any object is accepted. */
export function readTopLevel<Key extends string>(
  body: Buffer,
  keys: readonly Key[],
  struct: ChromaStruct<Key> = { name: 'a map' },
): ReadonlyMap<Key, TopLevelValue> | Refusal {
  const found = new Map<Key, TopLevelValue>();
  const cursor = new JsonCursor(body, true);
  const known = (name: string): Key | undefined => keys.find((candidate) => candidate === name);
  try {
    if (cursor.peek() !== OBJECT_OPEN) refuseType(cursor, '', struct.name);
    const refuseTwice = (name: string): void => {
      const key = known(name);
      if (key === undefined || !found.has(key)) return;
      throw new RefusedBody(shapeRefusal(body, cursor.pos, `duplicate field \`${key}\``));
    };
    const read = (name: string): void => {
      const key = known(name);
      // Numbers and escapes of unknown fields are not checked (observed).
      if (key === undefined) return cursor.value(false, 1);
      refuseOther(cursor, key, struct.types?.[key]);
      found.set(key, readValue(cursor));
    };
    readMembers(cursor, read, refuseTwice);
    cursor.end();
  } catch (error) {
    if (error instanceof RefusedBody) return error.refusal;
    if (!(error instanceof JsonSyntaxError)) throw error;
    return syntaxRefusal(body, error, (name) => known(name) !== undefined);
  }
  return found;
}

/** `body` without the bytes after its JSON value. */
export function withoutTrailingBytes(body: Buffer): Buffer {
  const cursor = new JsonCursor(body);
  try {
    cursor.value(false, 0);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return body;
    throw error;
  }
  return body.subarray(0, cursor.pos);
}

// serde stops at a value of another type.
function refuseOther(cursor: JsonCursor, key: string, type: 'a string' | 'a boolean' | undefined): void {
  if (type === undefined) return;
  const byte = cursor.peek();
  if (type === 'a string' ? byte === QUOTE : byte === LETTER_T || byte === LETTER_F) return;
  refuseType(cursor, `${key}: `, type);
}

/** The body of a create with `get_or_create` set to `value`. Throws JsonSyntaxError when it is not an object. */
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

/** New values for the identifying strings of a Collection object; a function receives the old value. */
export type CollectionIdentity = Partial<
  Record<'id' | 'name' | 'tenant' | 'database', string | ((old: string) => string)>
> & {
  /** Replaces a dimension that is null. */
  readonly dimension?: number | null;
};

/** A Collection object, or an array of them, with its `id` replaced. Throws JsonSyntaxError for other JSON. */
export function withCollectionId(json: Buffer, id: string): Buffer {
  return withCollectionIdentity(json, { id });
}

/** As withCollectionId, for all that a CollectionIdentity has; an absent field stays absent. */
export function withCollectionIdentity(
  json: Buffer,
  { dimension = null, ...strings }: CollectionIdentity,
): Buffer {
  const cursor = new JsonCursor(json);
  const edits: Edit[] = [];
  const replacements = new Map(Object.entries(strings));
  const collection = (): void => {
    if (cursor.peek() !== OBJECT_OPEN) cursor.fail('expected an object');
    readMembers(cursor, (name) => {
      const replacement = replacements.get(name);
      const start = cursor.pos;
      const byte = cursor.peek();
      if (name === 'dimension' && dimension !== null && byte === LETTER_N) {
        cursor.value(false, 2);
        return void edits.push({ start, end: cursor.pos, text: String(dimension) });
      }
      if (replacement === undefined || byte !== QUOTE) return cursor.value(false, 2);
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

// Calls `named` after the name of each member of the object at the cursor, then `member`, which must consume the value.
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

// `edits` are ordered and do not overlap.
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
