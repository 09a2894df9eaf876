import { expect, test } from 'vitest';
import { getBody, NO_FILTERS, queryBody, vectorText } from './filters.ts';

const page = { limit: 25, offset: 50 };

test('filters become the members of a body, with numbers as they were typed', () => {
  const body = getBody({ ids: 'a, b\nc', where: '{"n": 9007199254740993}', contains: 'a "b"' }, page);
  expect(body).toContain('"where":{"n": 9007199254740993}');
  expect(JSON.parse(body)).toMatchObject({
    ids: ['a', 'b', 'c'],
    where_document: { $contains: 'a "b"' },
    limit: 25,
    offset: 50,
  });
  expect(Object.keys(JSON.parse(getBody(NO_FILTERS, page)) as object)).toEqual([
    'limit',
    'offset',
    'include',
  ]);
});

test.each(['{"a":', '[1]', '3'])('the metadata filter %s is refused', (where) => {
  expect(() => getBody({ ...NO_FILTERS, where }, page)).toThrow('metadata filter');
});

test.each([
  ['[1, 2.50,-3e2]', '[1,2.50,-3e2]'],
  ['1 2\n3', '[1,2,3]'],
])('%j is a vector', (text, vector) => {
  expect(vectorText(text)).toBe(vector);
  expect(queryBody(text, 5, NO_FILTERS)).toContain(`"query_embeddings":[${vector}],"n_results":5`);
});

test.each(['', '[]', '1,x', '[1,2],"where":{}', 'NaN'])('%j is no vector', (text) => {
  expect(() => vectorText(text)).toThrow(/vector/);
});
