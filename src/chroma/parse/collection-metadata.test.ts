import { describe, expect, test } from 'vitest';
import { crashesServers, readCollectionMetadata } from './collection-metadata.ts';

function read(metadata: string, modern = true) {
  const body = Buffer.from(`{"metadata":${metadata}}`);
  return readCollectionMetadata(body, { start: 12, end: body.length - 1 }, modern);
}

describe('the metadata of a collection', () => {
  const UNEVEN =
    'Invalid sparse vector: Sparse vector indices, values, and tokens (when present) must have the same length';
  const UNSORTED =
    'Invalid sparse vector: Sparse vector indices must be sorted in strictly ascending order (no duplicates)';

  test.each<[string, string | null, string | null]>([
    ['{ }', 'Metadata cannot be empty', 'Metadata cannot be empty'],
    ['{"a":1,"b":"x","c":true,"d":null,"e":-1.5e3}', null, null],
    ['{"a":1,"":2}', 'Metadata key cannot be empty', null],
    ['{"a":1,"\\u0023b":2}', "Metadata key cannot start with '#' or '$': #b", null],
    ['{"$a":1}', "Metadata key cannot start with '#' or '$': $a", null],
    ['{"a":{"indices":[1],"values":[]}}', UNEVEN, null],
    ['{"a":{"indices":[2,1],"values":[1,2]}}', UNSORTED, null],
  ])('%s is refused from 1.3 on with %s, before with %s', (metadata, modern, before) => {
    expect(read(metadata).fault).toBe(modern);
    expect(read(metadata, false).fault).toBe(before);
  });

  test.each(['{"a":[1]}', '{"a":1,"b":[]}', '{"a":{"indices":[1],"values":[1]}}'])(
    '%s is not stored',
    (metadata) => {
      expect(read(metadata)).toEqual({ fault: null, unstorable: true, crashesServers: false });
      expect(read(metadata, false).unstorable).toBe(false);
    },
  );

  test.each([
    ['{"hnsw:M":0}', true],
    ['{"a":1,"hnsw\\u003aM": 0 }', true],
    ['{"hnsw:M":1}', true],
    ['{"hnsw:M":2}', false],
    ['{"hnsw:M":10001}', true],
    ['{"hnsw:M":"0"}', false],
    ['{"hnsw:M":0.0}', false],
    ['{"a":0}', false],
    ['{"hnsw:M":0,"hnsw:M":16}', false],
  ])('%s ends servers: %s', (metadata, ends) => {
    expect(read(metadata).crashesServers).toBe(ends);
  });
});

test('the last value of a repeated key counts', () => {
  expect(read('{"a":[1],"a":1}').unstorable).toBe(false);
  expect(read('{"a":1,"a":[1]}').unstorable).toBe(true);
});

test.each([
  ['{"hnsw":{"space":"l2","max_neighbors":0}}', true],
  ['{"keys":{"#embedding":{"float_list":[{"max_neighbors":0}]}}}', true],
  ['{"hnsw":{"max_neighbors":1}}', true],
  ['{"hnsw":{"max_neighbors":10000}}', false],
  ['{"hnsw":{"max_neighbors":18446744073709551615}}', true],
  ['{"hnsw":{"max_neighbors":null,"ef_search":0}}', false],
  ['{"embedding_function":{"type":"known","name":"own","config":{"max_neighbors":1}}}', false],
  ['{"embedding_function":{"config":{"max_neighbors":1}},"hnsw":{"max_neighbors":1}}', true],
  ['{"keys":{"#embedding":{"config":{"embedding_function":{"config":{"max_neighbors":1}}}}}}', false],
  ['{"keys":{"embedding_function":{"float_list":{"max_neighbors":1}}}}', true],
  ['{}', false],
])('the configuration %s ends servers: %s', (configuration, ends) => {
  const body = Buffer.from(configuration);
  expect(crashesServers(body, { start: 0, end: body.length })).toBe(ends);
});
