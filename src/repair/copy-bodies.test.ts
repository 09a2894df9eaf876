import { describe, expect, test } from 'vitest';
import {
  creationBody,
  creationBodyOf,
  keepsOldFields,
  modificationBody,
  recordsBody,
  replacing,
} from './copy-bodies.ts';
import type { StoredRecord } from './copy-content.ts';

const stored = (id: string, metadata: string, document = 'null'): StoredRecord => ({
  id,
  embedding: Buffer.from('[0.1,1e-7]'),
  document: Buffer.from(document),
  uri: Buffer.from('null'),
  metadata: Buffer.from(metadata),
});

test('writes records with every number as it was read, and leaves out columns without a value', () => {
  const body = recordsBody([stored('a"', '{"n":9007199254740993,"f":1.0}'), stored('b', '{}')]);
  expect(body.toString()).toBe(
    '{"ids":["a\\"","b"],"embeddings":[[0.1,1e-7],[0.1,1e-7]],"metadatas":[{"n":9007199254740993,"f":1.0},null]}',
  );
});

describe('a record that replaces another', () => {
  test.each([
    ['{"a":1}', '{"a":2,"b":3}', '{"a":1,"b":null}'],
    ['null', '{"b":3,"c\\"":4}', '{"b":null,"c\\"":null}'],
    ['{"a":1.0}', '{"a":1}', '{"a":1.0}'],
    ['{"a":1}', 'null', '{"a":1}'],
  ])('%s in place of %s is written as %s', (now, before, written) => {
    expect(replacing(stored('a', now), stored('a', before)).metadata.toString()).toBe(written);
  });

  test('cannot take a document away', () => {
    expect(keepsOldFields(stored('a', 'null'), stored('a', 'null', '"old"'))).toBe(true);
    expect(keepsOldFields(stored('a', 'null', '"new"'), stored('a', 'null', '"old"'))).toBe(false);
  });
});

test('creates a collection as the client did, under another name and only anew', () => {
  const body = Buffer.from('{"name":"pears","metadata":{"x":1.0},"get_or_create":true}');
  expect(creationBody(body, 'copy-1').toString()).toBe(
    '{"name":"copy-1","metadata":{"x":1.0},"get_or_create":false}',
  );
});

test('repeats what a modification changed beside the name', () => {
  const of = (text: string): string | null => modificationBody(Buffer.from(text))?.toString() ?? null;
  expect(of('{"new_name":"x","new_metadata":{"a":1.0}}')).toBe('{"new_metadata":{"a":1.0}}');
  expect(of('{"new_name":"x","new_metadata":null}')).toBeNull();
});

test('creates a collection from its description, with index settings from one place', () => {
  const described = (metadata: string): string =>
    creationBodyOf(
      Buffer.from(
        `{"id":"i","metadata":${metadata},"configuration_json":{"hnsw":{"space":"ip"},"spann":null}}`,
      ),
    )!.toString();
  expect(described('null')).toBe('{"name":"x","metadata":null,"configuration":{"hnsw":{"space":"ip"}}}');
  expect(described('{"hnsw:space":"ip"}')).toBe(
    '{"name":"x","metadata":{"hnsw:space":"ip"},"configuration":{}}',
  );
});
