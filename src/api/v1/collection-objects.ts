// Collection objects as clients before 1.0 read them.
//
// Python clients from 0.5.4 to 0.6.3 pass the members of an object to a constructor, which raises TypeError for one that it
// does not know (`schema`, before 0.5.9 also `log_position`), and their configuration names its type. Earlier ones do the
// same with the objects of a list, and know only id, name and metadata.

import { elementEnds } from '../../chroma/batch/response-slices.ts';
import { ARRAY_OPEN, type Slice } from '../../chroma/parse/json.ts';
import { isRefusal } from '../../chroma/parse/refusal.ts';
import { readTopLevel } from '../../chroma/parse/rewrite.ts';

/** Which members the objects have: all that any client knows, or those that every client knows in a list. */
export type OlderShape = 'whole' | 'short';

const SHORT = ['id', 'name', 'metadata'] as const;
const WHOLE = [...SHORT, 'tenant', 'database', 'dimension', 'version'] as const;

/** Members of an index's configuration that clients before 1.0 know, by today's names. */
const INDEX_MEMBERS = {
  space: 'space',
  ef_construction: 'ef_construction',
  ef_search: 'ef_search',
  max_neighbors: 'M',
  num_threads: 'num_threads',
  resize_factor: 'resize_factor',
  batch_size: 'batch_size',
  sync_threshold: 'sync_threshold',
} as const;
const BATCH_SIZE_DEFAULT = 100;

/** A response's collection object, or its array of them, in that shape. */
export function olderCollections(json: Buffer, shape: OlderShape): Buffer {
  const slices = objectsIn(json);
  const objects = slices.map(({ start, end }) => olderCollection(json.subarray(start, end), shape));
  return Buffer.from(json[0] === ARRAY_OPEN ? `[${objects.join(',')}]` : (objects[0] ?? ''), 'latin1');
}

/** A create's body with the configuration that clients before 1.0 send in today's form; a body without one as it is. */
export function withTodaysConfiguration(body: Buffer): Buffer {
  const given = memberOf(body, 'configuration');
  if (given === null) return body;
  const old = body.subarray(given.start, given.end);
  const index = memberOf(old, 'hnsw_configuration');
  if (memberOf(old, '_type') === null) return body;
  const members = index === null ? [] : renamed(old.subarray(index.start, index.end), todaysName);
  return Buffer.concat([
    body.subarray(0, given.start),
    Buffer.from(`{"hnsw":{${members.join(',')}}}`, 'latin1'),
    body.subarray(given.end),
  ]);
}

// Bytes are handled as Latin-1 text, which keeps each of them (I11).
function olderCollection(object: Buffer, shape: OlderShape): string {
  const keys = shape === 'short' ? SHORT : WHOLE;
  const fields = readTopLevel(object, [...WHOLE, 'configuration_json']);
  if (isRefusal(fields)) return object.toString('latin1');
  const text = ({ start, end }: Slice): string => object.toString('latin1', start, end);
  const members = keys.flatMap((key) => {
    const field = fields.get(key);
    return field === undefined ? [] : [`"${key}":${text(field.slice)}`];
  });
  if (shape === 'whole') {
    const configuration = fields.get('configuration_json');
    const json = configuration?.type === 'object' ? Buffer.from(text(configuration.slice), 'latin1') : null;
    members.push(`"configuration_json":${olderConfiguration(json)}`);
  }
  return `{${members.join(',')}}`;
}

function olderConfiguration(json: Buffer | null): string {
  const type = '"_type":"CollectionConfigurationInternal"';
  const index = json === null ? null : memberOf(json, 'hnsw');
  if (json === null || index === null) return `{${type}}`;
  const members = renamed(json.subarray(index.start, index.end), (name) =>
    name in INDEX_MEMBERS ? INDEX_MEMBERS[name as keyof typeof INDEX_MEMBERS] : null,
  );
  // Clients take 100 for a missing batch size, and refuse a threshold below it.
  const threshold = members.find((member) => member.startsWith('"sync_threshold":'))?.split(':')[1];
  if (Number(threshold) < BATCH_SIZE_DEFAULT && !members.some((member) => member.startsWith('"batch_size":')))
    members.push(`"batch_size":${threshold}`);
  return `{"hnsw_configuration":{${[...members, '"_type":"HNSWConfigurationInternal"'].join(',')}},${type}}`;
}

function todaysName(name: string): string | null {
  return Object.entries(INDEX_MEMBERS).find(([, old]) => old === name)?.[0] ?? null;
}

/** The members of an object under new names, as JSON text; without those for which there is none, and without nulls. */
function renamed(object: Buffer, newName: (name: string) => string | null): string[] {
  const names = [...Object.keys(INDEX_MEMBERS), ...Object.values(INDEX_MEMBERS)];
  const fields = readTopLevel(object, [...new Set(names)]);
  if (isRefusal(fields)) return [];
  return Array.from(fields).flatMap(([name, { type, slice }]) => {
    const given = newName(name);
    return given === null || type === 'null'
      ? []
      : [`"${given}":${object.toString('latin1', slice.start, slice.end)}`];
  });
}

/** The member of that name at the top level of an object; null when it is absent, null, or `json` is no object. */
function memberOf(json: Buffer, name: string): Slice | null {
  const fields = readTopLevel(json, [name]);
  const field = isRefusal(fields) ? undefined : fields.get(name);
  return field === undefined || field.type === 'null' ? null : field.slice;
}

function objectsIn(json: Buffer): Slice[] {
  if (json[0] !== ARRAY_OPEN) return [{ start: 0, end: json.length }];
  let start = 1;
  return elementEnds(json, 0).map((end) => {
    const slice = { start, end };
    start = end + 1;
    return slice;
  });
}
