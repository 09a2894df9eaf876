// A collection of the fake: its object in responses, and the validation of names and dimensions.

import { float32Text, writeJson, type Scalar } from './json.ts';
import { invalid, type WritePayload } from './payload.ts';
import type { Records } from './records.ts';

export interface Collection {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  name: string;
  metadata: ReadonlyMap<string, Scalar | null> | null;
  dimension: number | null;
  readonly records: Records;
}

/** The default configuration as JSON; every collection has it. */
export const CONFIGURATION =
  '{"hnsw":{"space":"l2","ef_construction":100,"ef_search":100,"max_neighbors":16,"resize_factor":1.2,"sync_threshold":1000},"spann":null,"embedding_function":null}';

export function copyOf(collection: Collection): Collection {
  return { ...collection, records: collection.records.clone() };
}

/** The collection in responses. */
export function shown({ id, name, metadata, dimension, tenant, database }: Collection): string {
  return objectText({
    id: JSON.stringify(id),
    name: JSON.stringify(name),
    configuration_json: CONFIGURATION,
    metadata: writeJson(metadata === null ? null : Object.fromEntries(metadata)),
    dimension: String(dimension),
    tenant: JSON.stringify(tenant),
    database: JSON.stringify(database),
    log_position: '0',
    version: '0',
  });
}

/** Throws Refused. The message names `field`. */
export function checkName(name: string, field: string): void {
  const blame = `Validation error: ${field}: Expected a name that`;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]$/.test(name)) {
    throw invalid(
      `Validation error: ${field}: Expected a name containing 3-512 characters from [a-zA-Z0-9._-], starting and ending with a character in [a-zA-Z0-9]. Got: ${name}`,
    );
  }
  if (name.includes('..'))
    throw invalid(`${blame} does not contains two consecutive periods (..). Got ${name}`);
  if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) throw invalid(`${blame} is not a valid ip address. Got ${name}`);
}

/** Throws Refused unless the vectors have one dimension, and the collection's if it has one; returns it. */
export function checkDimension(
  collection: Collection,
  vectors: readonly (readonly number[] | null)[],
): number | null {
  const lengths = new Set(vectors.flatMap((vector) => (vector === null ? [] : [vector.length])));
  if (lengths.size > 1) throw invalid('Inconsistent dimensions in provided embeddings');
  const [length] = lengths;
  const { dimension } = collection;
  if (length !== undefined && dimension !== null && dimension !== length) {
    throw invalid(`Collection expecting embedding with dimension of ${dimension}, got ${length}`);
  }
  return length ?? null;
}

/** The first vectors give the collection its dimension, before the rest of the call is checked (docs/chroma-behaviour.md#rejected-writes-that-change-something). */
export function fixDimension(collection: Collection, { embeddings }: WritePayload): void {
  const length = checkDimension(collection, embeddings ?? []);
  collection.dimension ??= length;
}

/** Accepts uppercase and undashed ids; null for other texts. */
export function canonicalUuid(text: string): string | null {
  const digits = text.toLowerCase().replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/.test(digits)) return null;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function vectorText(vector: readonly number[]): string {
  return listText(vector.map(float32Text));
}

/** A JSON array of texts in JSON; null stays null. */
export function listText(items: readonly string[] | null): string {
  return items === null ? 'null' : `[${items.join(',')}]`;
}

/** A JSON object of members in JSON. */
export function objectText(members: Readonly<Record<string, string>>): string {
  return `{${Object.entries(members)
    .map(([name, value]) => `${JSON.stringify(name)}:${value}`)
    .join(',')}}`;
}
