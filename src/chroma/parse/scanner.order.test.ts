// Which fault of a write is reported, and what a server checks before, by release.

import { describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../../test/support/capability-levels.ts';
import type { BodyCapabilities, RecordKind } from './record-call.ts';
import { scanRecordCall } from './scanner.ts';
import { isRefusal } from './refusal.ts';

// The capabilities of a 1.0.5 server, and of the newest known.
const MIDDLE: BodyCapabilities = { ...CHROMA_1_0_5, maxBatchSize: 4 };
const NEWEST: BodyCapabilities = { ...MIDDLE, metadataArrays: true, deleteLimit: true };

function scan(kind: RecordKind, body: string, capabilities = MIDDLE) {
  return scanRecordCall(kind, Buffer.from(body), capabilities);
}

function base64(...floats: number[]): string {
  return JSON.stringify(Buffer.from(new Float32Array(floats).buffer).toString('base64'));
}

const MIXED = '[1,2],[1,2,3]';
const BAD_KEY = '[{"#a":1},null]';
const EMPTY_ID = 'Empty ID, ID must have at least one character';
const LENGTHS = 'Inconsistent number of IDs, embeddings, documents, URIs and metadatas';
const DIMENSIONS = 'Inconsistent dimensions in provided embeddings';
const EMPTY = 'Validation error: embeddings: Each embedding must have at least 1 dimension';
const INFINITE = 'Validation error: embeddings: Embeddings must not contain NaN or Infinity values';
const METADATA = 'Validation error: metadatas: Invalid metadata at index 0';

// Tried on both servers, fault by fault; test/system/refusals.bare.test.ts repeats it.
describe('reports the first of several faults that a server finds', () => {
  const two = (ids: string, embeddings: string, metadatas = '[null,null]'): string =>
    `{"ids":${ids},"embeddings":[${embeddings}],"metadatas":${metadatas}}`;
  const messageOf = (body: string, level: BodyCapabilities, kind: RecordKind = 'add'): string => {
    const result = scan(kind, body, level);
    if (!isRefusal(result)) throw new Error(`taken: ${body}`);
    return result.message;
  };

  test.each<[string, string]>([
    [two('["","b"]', `${base64(1, 2)},"AAA"`, BAD_KEY), 'Invalid base64 string: Invalid padding'],
    [two('["a","b"]', `${base64(1, Infinity)},"AAA"`), 'Non-finite float value at embedding index 1: inf'],
    [
      two('["a","b"]', `${base64(-Infinity)},${base64(1)}`),
      'Non-finite float value at embedding index 0: -inf',
    ],
    [two('["a","b"]', `"AAA",${base64(NaN)}`), 'Invalid base64 string: Invalid padding'],
    [two('["a","b"]', '[],[1,1e39]', BAD_KEY), `${EMPTY}\nmetadatas: Invalid metadata at index 0`],
    [two('["a","b"]', '[1,2],[1,2,1e39]'), INFINITE],
    [two('["a","b"]', MIXED, BAD_KEY), METADATA],
    [two('[""]', MIXED), DIMENSIONS],
    [two('["",""]', '[1]'), LENGTHS],
    [two('["",""]', '[1],[2]', '[{"s":{"indices":[1],"values":[1]}},null]'), EMPTY_ID],
  ])('newest: %s', (body, message) => {
    expect(messageOf(body, NEWEST)).toBe(message);
  });

  test.each<[string, string]>([
    [two('["",""]', `${base64(1)},"AAA"`), 'Base64 decoding error: Invalid base64 string: Invalid padding'],
    [two('["a","b"]', '[],[1,1e39]', BAD_KEY), EMPTY],
    [two('["a","b"]', '[1,2],[1,2,1e39]', BAD_KEY), DIMENSIONS],
    [two('["a",""]', '[1,2],[1,1e39]', BAD_KEY), EMPTY_ID],
    [two('["a"]', '[1,2],[1,1e39]', '[{"chroma:x":1},null]'), LENGTHS],
    [two('["a","b"]', '[1,2],[1,1e39]'), INFINITE],
  ])('1.0.5: %s', (body, message) => {
    expect(messageOf(body, MIDDLE)).toBe(message);
  });

  test('an update is validated vector by vector', () => {
    expect(messageOf(two('["a","b"]', '[1,1e39],[]'), NEWEST, 'update')).toBe(INFINITE);
    expect(messageOf(two('["a","b"]', '[],[1,1e39]'), NEWEST, 'update')).toBe(EMPTY);
    expect(messageOf(two('["a","b"]', '[1,2],[]'), MIDDLE, 'update')).toBe(DIMENSIONS);
    // Before a 1.0.5 server could fix the dimension at 0.
    expect(messageOf(two('[]', '[]'), MIDDLE, 'update')).toBe(EMPTY);
    expect(messageOf(two('[]', '[]'), NEWEST, 'update')).toBe(EMPTY);
  });

  test('an empty delete before its limit', () => {
    const nothing = 'Validation error: ids, where: Either ids or where must be specified';
    expect(messageOf('{"ids":[],"limit":1}', NEWEST, 'delete')).toBe(nothing);
    expect(messageOf('{"ids":["a"],"limit":1}', NEWEST, 'delete')).toMatch(/limit can only be specified/);
    expect(messageOf('{"where":{},"where_document":{}}', NEWEST, 'delete')).toBe('Invalid where clause');
  });

  test('neither of an invalid filter and an invalid document filter: the primary reports one', () => {
    expect(scan('delete', '{"where":{"a":[]},"where_document":{}}')).toMatchObject({ conditional: true });
  });

  test('what a server checks before: the collection, and for some faults its dimension', () => {
    const after = (body: string, level = NEWEST): unknown => {
      const result = scan('add', body, level);
      return isRefusal(result) ? result.after : null;
    };
    expect(after('{"ids":["a"]')).toBeUndefined();
    expect(after('{"ids":["a"],"embeddings":[["x"]]}')).toBeUndefined();
    expect(after(two('["a","b"]', '[],[]'))).toEqual({ dimension: null });
    expect(after(two('["a","b"]', MIXED))).toEqual({ dimension: null });
    expect(after(two('["a",""]', '[1,2],[3,4]'))).toEqual({ dimension: 2 });
    expect(after(two('["a","b"]', '[1,1e39],[3,4]'), MIDDLE)).toEqual({ dimension: 2 });
  });
});

describe('sparse vectors in metadata', () => {
  const given = (vector: string, kind: RecordKind = 'add', level = NEWEST) =>
    scan(kind, `{"ids":["a"],"embeddings":[[1,2]],"metadatas":[{"the key":${vector}}]}`, level);

  test.each([
    '{"indices":[1],"values":[1.0]}',
    '{"#type":"sparse_vector","indices":[1],"values":[1]}',
    '{"#type":null,"tokens":null,"values":[-1e39,0],"indices":[0,4294967295],"x":[{}]}',
    '{"indices":[],"values":[]}',
    '{"indices":[1],"values":[1],"tokens":["a"]}',
  ])('%s is what a single server of the newest release does not store', (vector) => {
    for (const kind of ['add', 'upsert', 'update'] as const) {
      expect(given(vector, kind)).toEqual({
        status: 501,
        error: 'ChromaError',
        message: 'Unimplemented: Sparse vector is not supported for local chroma: the key',
        after: { dimension: 2 },
      });
    }
    expect(given(vector, 'add', MIDDLE)).toMatchObject({ status: 422 });
  });

  test.each([
    '{"indices":[1,2],"values":[1.0]}',
    '{"indices":[2,1],"values":[1,2]}',
    '{"indices":[1,1],"values":[1,2]}',
    '{"indices":[1],"values":[1],"tokens":[]}',
  ])('%s is invalid', (vector) => {
    expect(given(vector)).toMatchObject({ status: 400, message: METADATA });
  });

  test.each([
    '{}',
    '{"indices":[1]}',
    '{"values":[1]}',
    '{"indices":null,"values":[1]}',
    '{"#type":"sparse_vector"}',
    '{"indices":[-1],"values":[1]}',
    '{"indices":[1.0],"values":[1]}',
    '{"indices":[4294967296],"values":[1]}',
    '{"indices":[1],"values":["1"]}',
    '{"indices":[1],"values":[null]}',
    '{"indices":[1],"values":{}}',
    '{"#type":"dense","indices":[1],"values":[1]}',
    '{"#type":1,"indices":[1],"values":[1]}',
    '{"indices":[1],"indices":[1],"values":[1]}',
    '{"indices":[1],"values":[1],"tokens":[1]}',
    '{"constructor":1}',
  ])('%s is none', (vector) => {
    const message =
      'metadatas[0].the key: data did not match any variant of untagged enum MetadataValue at line 1';
    expect(given(vector)).toMatchObject({ status: 422, message: expect.stringContaining(message) });
  });

  test('the last value of a repeated key counts', () => {
    const twice = (one: string, other: string): unknown => given(`${one},"the key":${other}`);
    const vector = '{"indices":[1],"values":[1]}';
    expect(twice(vector, '[1]')).toMatchObject({ conditional: false });
    expect(twice('{"indices":[1],"values":[]}', '1')).toMatchObject({ conditional: false });
    expect(twice('1', vector)).toMatchObject({ status: 501 });
  });

  test('a number beyond the range of a double is a syntax error', () => {
    expect(given('{"indices":[1],"values":[1e400]}')).toMatchObject({
      message: expect.stringContaining('JSON: metadatas[0].the key.values[0]: number out of range at line 1'),
    });
  });
});
