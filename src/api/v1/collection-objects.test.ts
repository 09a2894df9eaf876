import { expect, test } from 'vitest';
import { olderCollections, withTodaysConfiguration } from './collection-objects.ts';

const INDEX = '"space":"l2","ef_construction":100,"ef_search":100,"max_neighbors":16,"resize_factor":1.0';
const OBJECT = `{"id":"x","name":"ä","configuration_json":{"hnsw":{${INDEX},"sync_threshold":1000},"spann":null,"embedding_function":null},"schema":{"defaults":{}},"metadata":{"n":9007199254740993,"f":1.0},"dimension":null,"tenant":"t","database":"d","log_position":0,"version":0}`;

const older = (json: string, shape: 'whole' | 'short'): string =>
  olderCollections(Buffer.from(json), shape).toString();

test('keeps the members that clients from 0.5.4 to 0.6.3 know, and names the type of the configuration', () => {
  const text = older(OBJECT, 'whole');
  expect(JSON.parse(text)).toEqual({
    id: 'x',
    name: 'ä',
    metadata: expect.anything(),
    tenant: 't',
    database: 'd',
    dimension: null,
    version: 0,
    configuration_json: {
      _type: 'CollectionConfigurationInternal',
      hnsw_configuration: {
        _type: 'HNSWConfigurationInternal',
        space: 'l2',
        ef_construction: 100,
        ef_search: 100,
        M: 16,
        resize_factor: 1,
        sync_threshold: 1000,
      },
    },
  });
  // I11: clients refuse an integer here, and metadata keep their numbers.
  expect(text).toContain('"resize_factor":1.0');
  expect(text).toContain('"metadata":{"n":9007199254740993,"f":1.0}');
});

test('gives a batch size that clients accept when the threshold is below their default', () => {
  const text = older(OBJECT.replace('"sync_threshold":1000', '"sync_threshold":50'), 'whole');
  expect(JSON.parse(text).configuration_json.hnsw_configuration).toMatchObject({ batch_size: 50 });
});

test('keeps only what every older client knows in a short list', () => {
  const list = older(`[${OBJECT},${OBJECT}]`, 'short');
  expect(JSON.parse(list).map((one: object) => Object.keys(one))).toEqual([
    ['id', 'name', 'metadata'],
    ['id', 'name', 'metadata'],
  ]);
  expect(older('[]', 'short')).toBe('[]');
});

test.each([
  ['{"name":"x"}', '{"name":"x"}'],
  ['{"name":"x","configuration":null}', '{"name":"x","configuration":null}'],
  ['{"configuration":{"hnsw":{"space":"ip"}}}', '{"configuration":{"hnsw":{"space":"ip"}}}'],
  [
    '{"configuration":{"hnsw_configuration":{"space":"ip","M":24,"resize_factor":1.0,"_type":"H"},"_type":"C"},"name":"x"}',
    '{"configuration":{"hnsw":{"space":"ip","max_neighbors":24,"resize_factor":1.0}},"name":"x"}',
  ],
  ['{"configuration":{"_type":"C"}}', '{"configuration":{"hnsw":{}}}'],
  ['not JSON', 'not JSON'],
])('gives the configuration of a create its present form: %s', (given, expected) => {
  expect(withTodaysConfiguration(Buffer.from(given)).toString()).toBe(expected);
});
