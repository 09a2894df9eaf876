import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { splitGetResponse, mergeGetCalls, scanGetCall, type GetCall } from './get-call.ts';

const scan = (body: object | string): GetCall | null =>
  scanGetCall(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

describe('a get by ids', () => {
  test.each([
    ['has no ids', {}],
    ['has null ids', { ids: null }],
    ['has an empty list', { ids: [] }],
    ['has an id that is no string', { ids: ['a', 1] }],
    ['is a page', { ids: ['a'], limit: 1 }],
    ['is a later page', { ids: ['a'], offset: 1 }],
    ['gives a field twice', '{"ids":["a"],"ids":["b"]}'],
    ['is no JSON', '{"ids":["a"]'],
  ])('is not merged when it %s', (_name, body) => {
    expect(scan(body)).toBeNull();
  });

  test('merges with gets that differ only in their ids', () => {
    const one = scan({ ids: ['a'], include: ['documents'] })!;
    const two = scan({ ids: ['b', 'c'], include: ['documents'] })!;
    expect(two.key).toBe(one.key);
    expect(scan({ ids: ['b'], include: ['embeddings'] })!.key).not.toBe(one.key);
    expect(Buffer.concat(mergeGetCalls([one, two])).toString()).toBe(
      '{"ids":["a","b","c"],"include":["documents"]}',
    );
  });
});

describe('the response to a merged get', () => {
  const id = fc.oneof(fc.constantFrom('a', 'b', 'c', '"', '\\', 'é', ''), fc.string({ unit: 'binary' }));
  const stored = fc.uniqueArray(
    fc.tuple(id, fc.option(fc.string({ unit: 'binary' })), fc.double({ noNaN: true })),
    {
      selector: ([key]) => key,
    },
  );

  /** A server's response: the rows it has, in its own order. */
  const responseTo = (
    rows: readonly (readonly [string, string | null, number])[],
    ids: readonly string[],
  ): Buffer => {
    const found = rows.filter(([key]) => ids.includes(key));
    return Buffer.from(
      JSON.stringify({
        ids: found.map(([key]) => key),
        embeddings: null,
        documents: found.map(([, document]) => document),
        metadatas: found.map(([, , n]) => ({ n })),
        include: ['documents', 'metadatas'],
      }),
    );
  };

  test('is split into the responses to the separate gets', () => {
    fc.assert(
      fc.property(stored, fc.array(fc.array(id, { minLength: 1 }), { minLength: 1 }), (rows, requested) => {
        const calls = requested.map((ids) => scan({ ids })!);
        const split = splitGetResponse(responseTo(rows, requested.flat()), calls);
        expect(split?.map(String)).toEqual(requested.map((ids) => responseTo(rows, ids).toString()));
      }),
    );
  });

  test.each(['', '[]', '{"ids":["a"],"documents":[]}', '{"documents":[]}'])(
    'is not split when it reads %s',
    (text) => {
      expect(splitGetResponse(Buffer.from(text), [scan({ ids: ['a'] })!])).toBeNull();
    },
  );
});
