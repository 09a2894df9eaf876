// Maps and sets keyed by strings of clients use mapKey: V8 hashes long strings by their length only, and 400 ids of
// 50,000 characters would block the event loop for seconds.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const ROOT = new URL('../', import.meta.url);

/** File → the keys of its maps of client strings. */
const KEYED: readonly (readonly [file: string, keys: readonly string[]])[] = [
  ['src/catalog/catalog.ts', ['mapKey(JSON.stringify(parts))']],
  ['src/chroma/parse/collection-metadata.ts', ['values.set(mapKey(key)']],
  ['src/chroma/batch/get-call.ts', ['seen.add(mapKey(key))', 'rowOf.set(mapKey(', 'rowOf.get(mapKey(id))']],
  ['src/chroma/batch/merge.ts', ['#touched.add(mapKey(id))']],
  ['src/chroma/parse/metadata-column.ts', ['found.set(mapKey(key)']],
  ['src/chroma/batch/query-call.ts', ['seen.add(mapKey(key))']],
  ['src/read/coalescer.ts', ['mapKey(`${target.shard} ${kind.keyOf(read.call)}`)']],
  ['src/read/queries.ts', ['[mapKey(id), id]', '#includes.set(mapKey(projection.include)']],
  ['src/read/record-cache.ts', ['mapKey(`${shard} ${id}`)']],
  ['src/api/v2/collections.ts', ['mapKey(JSON.stringify([tenant, database]))']],
  [
    'src/repair/expectation.ts',
    ['const key = mapKey(id)', 'mapKey(JSON.stringify([tenant, database, name]))'],
  ],
  ['src/repair/record-faults.ts', ['const key = mapKey(id)']],
  ['src/repair/read-back.ts', ['[mapKey(id), id]', 'sent.get(mapKey(id))']],
  ['src/repair/record-content.ts', ['content.set(mapKey(id)']],
  ['src/repair/shard-check.ts', ['[mapKey(id), index]']],
];

test.each(KEYED)('%s keys its maps of client strings with mapKey', (file, keys) => {
  const text = readFileSync(new URL(file, ROOT), 'utf8');
  expect(keys.filter((key) => !text.includes(key))).toEqual([]);
});

// Long keys of parsed objects would collide in V8's table of strings in the same way.
test.each(['src/chroma/parse/collection-metadata.ts', 'src/api/v2/record-reads.ts'])(
  '%s parses no objects of clients',
  (file) => {
    expect(readFileSync(new URL(file, ROOT), 'utf8')).not.toContain('JSON.parse');
  },
);
