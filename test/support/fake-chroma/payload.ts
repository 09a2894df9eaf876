// Parses bodies of record calls and refuses them as a 1.0.5 server does. Error messages have the same beginning but lack
// the full position, which no code may use.

import { isObject, JsonNumber, parseJson, type Json, type JsonObject, type Scalar } from './json.ts';

export interface FakeResponse {
  /** 0: the connection ended without a response. */
  readonly status: number;
  readonly text: string;
}

/** An error response. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly response: FakeResponse;

  constructor(status: number, error: string, message: string) {
    super(message);
    this.response = { status, text: JSON.stringify({ error, message }) };
  }
}

export const invalid = (message: string): Refused => new Refused(400, 'InvalidArgumentError', message);
const misshapen = (message: string): Refused =>
  new Refused(
    422,
    'ChromaError',
    `Failed to deserialize the JSON body into the target type: ${message} at line 1 column 1`,
  );

/** The call uses a part of Chroma that the fake does not model. */
export class NotModelled extends Error {
  override readonly name = 'NotModelled';
}

/** One record of an add, upsert or update; `metadata` is null when absent. A null value deletes the key. */
export interface Item {
  readonly id: string;
  readonly embedding: readonly number[] | null;
  readonly document: string | null;
  readonly uri: string | null;
  readonly metadata: ReadonlyMap<string, Scalar | null> | null;
}

export type WriteKind = 'add' | 'upsert' | 'update';

/** The columns of a write as received; their lengths may differ. */
export interface WritePayload {
  readonly ids: readonly string[];
  readonly embeddings: readonly (readonly number[] | null)[] | null;
  readonly documents: readonly (string | null)[] | null;
  readonly uris: readonly (string | null)[] | null;
  readonly metadatas: readonly (ReadonlyMap<string, Scalar | null> | null)[] | null;
}

export function readObject(body: string): JsonObject {
  let value: Json;
  try {
    value = parseJson(body);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw invalid(`Failed to parse the request body as JSON: ${message} at line 1 column 1`);
  }
  if (!isObject(value)) throw misshapen('invalid type');
  return value;
}

export function readWrite(kind: WriteKind, body: string): WritePayload {
  const fields = readObject(body);
  const ids = texts(fields, 'ids');
  if (ids === null) throw misshapen('missing field `ids`');
  const metadatas = column(fields['metadatas'], 'metadatas', (value) => metadataOf(value, kind !== 'add'));
  const payload = {
    ids,
    embeddings: embeddingsOf(fields['embeddings'], kind),
    documents: column(fields['documents'], 'documents', textOf),
    uris: column(fields['uris'], 'uris', textOf),
    metadatas,
  };
  // An update is accepted and wedges its collection (docs/chroma-behaviour.md#error-responses-after-a-commit).
  if (kind !== 'update' && payload.embeddings?.some((embedding) => embedding?.length === 0)) {
    throw invalid('Validation error: embeddings: Each embedding must have at least 1 dimension');
  }
  return payload;
}

/** The records of a write with columns of equal length. */
export function itemsOf({ ids, embeddings, documents, uris, metadatas }: WritePayload): Item[] {
  const fits = [embeddings, documents, uris, metadatas].every(
    (each) => each === null || each.length === ids.length,
  );
  if (!fits) throw invalid('Inconsistent number of IDs, embeddings, documents, URIs and metadatas');
  if (ids.includes('')) throw invalid('Empty ID, ID must have at least one character');
  return ids.map((id, index) => ({
    id,
    embedding: embeddings?.[index] ?? null,
    document: documents?.[index] ?? null,
    uri: uris?.[index] ?? null,
    metadata: metadatas?.[index] ?? null,
  }));
}

/** An array of strings; null when absent or null. */
export function texts(fields: JsonObject, name: string): readonly string[] | null {
  return column(fields[name], name, (value) => {
    if (typeof value !== 'string') throw misshapen(`${name}: expected a string`);
    return value;
  });
}

/** A whole number from 0 to 2^32-1; null when absent or null. */
export function count(fields: JsonObject, name: string): number | null {
  const value = fields[name] ?? null;
  if (value === null) return null;
  if (!(value instanceof JsonNumber) || !/^\d{1,10}$/.test(value.text) || value.value > 0xffff_ffff) {
    throw misshapen(`${name}: expected u32`);
  }
  return value.value;
}

const INCLUDABLE = new Set(['distances', 'documents', 'embeddings', 'metadatas', 'uris']);

/** The columns of the response: the included ones, or the usual ones of the call. */
export function included(fields: JsonObject, usual: readonly string[]): readonly string[] {
  if (!('include' in fields)) return usual;
  const include = texts(fields, 'include');
  if (include === null) throw misshapen('include: invalid type: null, expected a sequence');
  const unknown = include.find((each) => !INCLUDABLE.has(each));
  if (unknown !== undefined) throw misshapen(`include[0]: unknown variant \`${unknown}\``);
  return include;
}

/** The vectors of a query. */
export function queryEmbeddings(fields: JsonObject): readonly (readonly number[])[] {
  const vectors = column(fields['query_embeddings'], 'query_embeddings', vectorOf);
  if (vectors === null) throw misshapen('missing field `query_embeddings`');
  return vectors;
}

/** Metadata of a record or a collection: scalars, and nulls where they delete a key. */
export function metadataOf(value: Json, nulls: boolean): ReadonlyMap<string, Scalar | null> | null {
  if (value === null) return null;
  if (!isObject(value)) throw misshapen('metadatas: expected a map');
  const entries = Object.entries(value).map(([key, each]): [string, Scalar | null] => {
    const scalar = typeof each !== 'object' || each instanceof JsonNumber || (each === null && nulls);
    if (!scalar) throw misshapen(`metadatas[0].${key}: data did not match any variant of untagged enum`);
    return [key, each];
  });
  return new Map(entries);
}

function column<T>(value: Json | undefined, name: string, read: (value: Json) => T): readonly T[] | null {
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value)) throw misshapen(`${name}: expected a sequence`);
  return (value as readonly Json[]).map(read);
}

function textOf(value: Json): string | null {
  if (value !== null && typeof value !== 'string') throw misshapen('expected a string');
  return value;
}

function embeddingsOf(
  value: Json | undefined,
  kind: WriteKind,
): readonly (readonly number[] | null)[] | null {
  if (value === undefined && kind !== 'update') throw misshapen('missing field `embeddings`');
  if (value === undefined || (value === null && kind === 'update')) return null;
  const noVariant = (): Refused =>
    misshapen('embeddings: data did not match any variant of untagged enum EmbeddingsPayload');
  const list = Array.isArray(value) ? (value as readonly Json[]) : null;
  if (list === null || (kind !== 'update' && list.includes(null))) throw noVariant();
  const given = list.filter((each) => each !== null);
  const base64 = given.some((each) => typeof each === 'string');
  if (base64 && given.some((each) => typeof each !== 'string')) throw noVariant();
  try {
    return list.map((each) =>
      each === null ? null : typeof each === 'string' ? decoded(each) : vectorOf(each),
    );
  } catch (error) {
    if (error instanceof Refused && error.response.status === 422) throw noVariant();
    throw error;
  }
}

function vectorOf(value: Json): readonly number[] {
  if (!Array.isArray(value)) throw misshapen('expected a sequence');
  return (value as readonly Json[]).map((component) => {
    if (!(component instanceof JsonNumber)) throw misshapen('expected f32');
    return Math.fround(component.value);
  });
}

/** Little-endian 32-bit floats. */
function decoded(base64: string): readonly number[] {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64') !== base64 || bytes.length % 4 !== 0) {
    throw invalid('Base64 decoding error: Invalid base64 string');
  }
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
}
