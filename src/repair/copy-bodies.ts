// Bodies of the calls that make a copy: records from the bytes in which a node returned them (I11), collections from the
// bytes in which a client created them (R27).

import { columnsOf } from '../chroma/batch/response-slices.ts';
import { OBJECT_OPEN } from '../chroma/parse/json.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import { readTopLevel, withCollectionIdentity, withGetOrCreate } from '../chroma/parse/rewrite.ts';
import type { StoredRecord } from './copy-content.ts';

const NULL = Buffer.from('null');
const EMPTY_OBJECT = Buffer.from('{}');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');

/** The body of an add or upsert of these records. A column without any value is left out. */
export function recordsBody(records: readonly StoredRecord[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`{"ids":${JSON.stringify(records.map(({ id }) => id))}`)];
  const column = (name: string, values: readonly Buffer[]): void => {
    if (values.every((value) => value.equals(NULL))) return;
    parts.push(Buffer.from(`,"${name}":[`));
    for (const [index, value] of values.entries()) parts.push(...(index === 0 ? [] : [COMMA]), value);
    parts.push(CLOSE);
  };
  column(
    'embeddings',
    records.map(({ embedding }) => embedding),
  );
  column(
    'documents',
    records.map(({ document }) => document),
  );
  column(
    'uris',
    records.map(({ uri }) => uri),
  );
  column(
    'metadatas',
    records.map(({ metadata }) => (metadata.equals(EMPTY_OBJECT) ? NULL : metadata)),
  );
  return Buffer.concat([...parts, Buffer.from('}')]);
}

/** The record with null for every key of `old` that it does not have: an upsert merges metadata (R23). */
export function replacing(record: StoredRecord, old: StoredRecord): StoredRecord {
  const keys = new Set(membersOf(record.metadata).map(({ name }) => name));
  const gone = membersOf(old.metadata).filter(({ name }) => !keys.has(name));
  if (gone.length === 0) return record;
  const nulls = gone.map(({ name }) => Buffer.from(`"${name}":null`));
  const inside = record.metadata[0] === OBJECT_OPEN ? record.metadata.subarray(1, -1) : Buffer.alloc(0);
  const members = inside.length === 0 ? nulls : [inside, ...nulls];
  const joined = members.flatMap((member, index) => (index === 0 ? [member] : [COMMA, member]));
  return { ...record, metadata: Buffer.concat([Buffer.from('{'), ...joined, Buffer.from('}')]) };
}

/** Whether an upsert of `record` leaves something of `old` behind: a document or uri cannot be taken away. */
export function keepsOldFields(record: StoredRecord, old: StoredRecord): boolean {
  const isGone = (now: Buffer, before: Buffer): boolean => now.equals(NULL) && !before.equals(NULL);
  return isGone(record.document, old.document) || isGone(record.uri, old.uri);
}

/** The body that creates the collection under another name. */
export function creationBody(body: Buffer, name: string): Buffer {
  return withCollectionIdentity(withGetOrCreate(body, false), { name });
}

/** What a modification changes other than the name; null when nothing. */
export function modificationBody(body: Buffer): Buffer | null {
  const fields = readTopLevel(body, ['new_metadata', 'new_configuration']);
  if (isRefusal(fields)) return null;
  const members = [...fields].filter(([, { type }]) => type !== 'null');
  if (members.length === 0) return null;
  const text = members.map(
    ([name, { slice }]) => `"${name}":${body.subarray(slice.start, slice.end).toString()}`,
  );
  return Buffer.from(`{${text.join(',')}}`);
}

/**
 * The body of a create for a collection whose own is not known any more, from a node's description of it: its metadata,
 * and the settings of its index and embedding function. Null when the description has another form.
 */
export function creationBodyOf(object: Buffer): Buffer | null {
  const fields = readTopLevel(object, ['metadata', 'configuration_json']);
  if (isRefusal(fields)) return null;
  const bytes = (key: 'metadata' | 'configuration_json'): Buffer => {
    const slice = fields.get(key)?.slice;
    return slice === undefined ? NULL : object.subarray(slice.start, slice.end);
  };
  // Settings in the metadata are the same ones, and a server refuses both.
  const isLegacy = membersOf(bytes('metadata')).some(({ name }) => name.startsWith('hnsw:'));
  const kept = isLegacy ? ['embedding_function'] : ['hnsw', 'embedding_function'];
  const configuration = membersOf(bytes('configuration_json'))
    .filter(({ name, value }) => kept.includes(name) && !value.equals(NULL))
    .map(({ name, value }) => `"${name}":${value.toString()}`);
  const text = `{"name":"x","metadata":${bytes('metadata').toString()},"configuration":{${configuration.join(',')}}}`;
  return Buffer.from(text);
}

/** Members of an object as a node returned it; `name` is the text between the quotes. None for null. */
export function membersOf(object: Buffer): { name: string; value: Buffer }[] {
  if (object[0] !== OBJECT_OPEN) return [];
  return (columnsOf(object) ?? []).map(({ name, start, end }) => ({
    name: Buffer.from(name, 'latin1').toString(),
    value: object.subarray(start, end),
  }));
}

/** Whether a server's description of a collection says that its index is in cosine space. */
export function isCosine(object: Buffer): boolean {
  const fields = readTopLevel(object, ['configuration_json', 'metadata']);
  if (isRefusal(fields)) return false;
  const slice = fields.get('configuration_json')?.slice;
  const text = slice === undefined ? '{}' : object.subarray(slice.start, slice.end).toString();
  const { hnsw, spann } = JSON.parse(text) as Record<string, { space?: string } | null | undefined>;
  return (hnsw?.space ?? spann?.space) === 'cosine';
}
