import { expect, test } from 'vitest';
import fc from 'fast-check';
import { removeOlderParts } from './older-request.ts';

test.each([
  ['{"where":{},"ids":["a"],"where_document":{}}', { ids: ['a'] }, true, false],
  ['{"ids":["a"],"where": { } ,"where_document":null}', { ids: ['a'], where_document: null }, true, false],
  ['{"where":{}}', {}, false, false],
  ['{"where":{},"where_document":{}}', {}, false, false],
  ['{"where":{"a":{}},"limit":1}', { where: { a: {} }, limit: 1 }, false, true],
  ['{"where":"{}"}', { where: '{}' }, false, true],
  [
    '{"ids":null,"where_document":{"$contains":"x"}}',
    { ids: null, where_document: { $contains: 'x' } },
    false,
    true,
  ],
  ['{"include":["data","documents","data","uris","data"]}', { include: ['documents', 'uris'] }, false, false],
  ['{"include":["data"],"metadata":{"where":{}}}', { include: [], metadata: { where: {} } }, false, false],
  ['{"ids":["where","data",{"where":{}}]}', { ids: ['where', 'data', { where: {} }] }, true, false],
])('removes empty filters and "data" from %s', (text, left, hasIds, isFiltered) => {
  const body = Buffer.from(text);
  const selection = removeOlderParts(body);
  expect(JSON.parse(body.toString())).toEqual(left);
  expect(body).toHaveLength(text.length);
  expect({ hasIds: selection?.ids != null, isFiltered: selection?.isFiltered }).toEqual({
    hasIds,
    isFiltered,
  });
});

test.each(['', '[]', '"x"', '{"where":{}', '{"where":{}}x', '{"where":{},}'])(
  'leaves what is no JSON object as it is: %s',
  (text) => {
    const body = Buffer.from(text);
    expect(removeOlderParts(body)).toBeNull();
    expect(body.toString()).toBe(text);
  },
);

test('finds the array of ids', () => {
  const body = Buffer.from('{"where":{},"ids":["ä","b"]}');
  const { ids } = removeOlderParts(body)!;
  expect(body.toString('utf8', ids!.start, ids!.end)).toBe('["ä","b"]');
});

test('keeps every other member of any object', () => {
  const value = fc.oneof(
    fc.constant({}),
    fc.string(),
    fc.constant(null),
    fc.array(fc.constantFrom('data', 'x')),
  );
  const names = fc.constantFrom('where', 'where_document', 'include', 'ids', 'other');
  fc.assert(
    fc.property(fc.dictionary(names, value), (object) => {
      const body = Buffer.from(JSON.stringify(object));
      removeOlderParts(body);
      const expected = Object.entries(object).flatMap(([name, given]) => {
        const isEmpty = JSON.stringify(given) === '{}';
        if (isEmpty && (name === 'where' || name === 'where_document')) return [];
        const isIncluded = name === 'include' && Array.isArray(given);
        return [[name, isIncluded ? given.filter((item) => item !== 'data') : given]];
      });
      expect(JSON.parse(body.toString())).toEqual(Object.fromEntries(expected));
    }),
  );
});
