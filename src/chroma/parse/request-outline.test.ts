import { describe, expect, test } from 'vitest';
import { DEFAULT_FILTER_LIMITS, filterRefusal, type FilterSize } from './filter-limits.ts';
import { outlineOf, withOneResult, type OutlinedAction } from './request-outline.ts';

const outline = (body: unknown, action: OutlinedAction = 'get') =>
  outlineOf(action, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
const sizeOf = (body: unknown, action?: OutlinedAction): FilterSize => outline(body, action).filter;
type Size = Omit<FilterSize, 'patternBytes'>;

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe('the size of a filter', () => {
  test.each<[string, unknown, Size]>([
    ['nothing', {}, { conditions: 0, operands: 0, depth: 0 }],
    ['null', { where: null, where_document: null }, { conditions: 0, operands: 0, depth: 0 }],
    ['one condition', { where: { k: 1 } }, { conditions: 1, operands: 4, depth: 0 }],
    ['one with an operator', { where: { k: { $gt: 1 } } }, { conditions: 1, operands: 4, depth: 0 }],
    [
      'a list of numbers',
      { where: { k: { $in: [1, 2.5, -3e2] } } },
      { conditions: 1, operands: 10, depth: 0 },
    ],
    [
      'a list of texts',
      { where: { k: { $nin: ['a', '"{[', '7'] } } },
      { conditions: 1, operands: 7, depth: 0 },
    ],
    [
      'a list of booleans',
      { where: { k: { $in: [true, false] } } },
      { conditions: 1, operands: 6, depth: 0 },
    ],
    ['an $or', { where: { $or: [{ k: 1 }, { k: 2 }] } }, { conditions: 3, operands: 12, depth: 1 }],
    ['documents', { where_document: { $contains: 'x' } }, { conditions: 1, operands: 1, depth: 0 }],
    [
      'both',
      {
        where: { k: 1 },
        where_document: { $and: [{ $contains: 'x' }, { $or: [{ $regex: 'y' }, { $contains: 'z' }] }] },
      },
      { conditions: 6, operands: 9, depth: 2 },
    ],
    ['ids', { ids: ['a', 'b'] }, { conditions: 0, operands: 2, depth: 0 }],
    ['ids beside a filter', { ids: ['a', 'b'], where: { k: 1 } }, { conditions: 1, operands: 6, depth: 0 }],
  ])('of %s', (_what, body, expected) => {
    expect(sizeOf(body)).toMatchObject(expected);
  });

  test.each([
    [0, { where: { k: 'a long text' } }],
    [15, { where_document: { $contains: 'ünïünïünï' } }],
    [19, { where_document: { $or: [{ $contains: 'x' }, { $regex: 'a_%\\\\b_%\\\\c' }] } }],
  ])('counts %i bytes for the longest text in the filter of documents', (bytes, body) => {
    expect(sizeOf(body).patternBytes).toBe(bytes);
  });

  test('counts the ids of a query only with a filter', () => {
    expect(sizeOf({ ids: ['a', 'b'] }, 'query').operands).toBe(0);
    expect(sizeOf({ ids: ['a', 'b'], where: { k: 1 } }, 'query').operands).toBe(6);
  });

  test('is measured with escaped names, after white space and before a syntax error', () => {
    expect(sizeOf('{"\\u0077here" : {"k":1}}').conditions).toBe(1);
    expect(sizeOf('{"where":{"$or":[{"k":1},\n{"k":2}]} , "ids":[}').conditions).toBe(3);
    expect(sizeOf('[{"where":{"k":1}}]').conditions).toBe(0);
  });

  test('is measured without recursion for a filter nested 10,000 deep', () => {
    const levels = 10_000;
    const nested = `${'{"$and":['.repeat(levels)}{"k":1}${']}'.repeat(levels)}`;
    expect(sizeOf(`{"where":${nested}}`).depth).toBeGreaterThan(DEFAULT_FILTER_LIMITS.depthMax);
  });
});

describe('a filter is refused', () => {
  const refusal = (body: unknown): string | undefined =>
    filterRefusal(sizeOf(body), DEFAULT_FILTER_LIMITS)?.message;
  const equal = (index: number): object => ({ k: index });
  const contains = (index: number): object => ({ $contains: `w${index}` });
  const or = (count: number, make: (index: number) => object): object => ({ $or: times(count, make) });
  const nested = (levels: number): object =>
    times(levels, () => 0).reduce<object>((inner) => ({ $and: [inner] }), { k: 1 });

  test('above each limit, with its name', () => {
    expect(refusal({ where: or(900, equal) })).toContain('901 conditions');
    expect(refusal({ where: or(900, equal) })).toContain('FILTER_CONDITIONS_MAX');
    expect(refusal({ where: { k: { $in: times(16_349, (i) => i) } } })).toContain('FILTER_OPERANDS_MAX');
    expect(refusal({ ids: times(32_701, String) })).toContain('32701 SQL variables');
    expect(refusal({ where: nested(63) })).toContain('FILTER_DEPTH_MAX');
  });

  test('for the sum over where, where_document and ids', () => {
    expect(refusal({ where: or(600, equal), where_document: or(600, contains) })).toContain(
      '1202 conditions',
    );
    const many = { ids: times(20_000, String), where: { k: { $in: times(13_000, (i) => i) } } };
    expect(refusal(many)).toContain('46004 SQL variables');
  });

  test('for objects with thousands of members, which no server accepts and each reads for seconds', () => {
    const members = Object.fromEntries(times(901, (index) => [`k${index}`, index]));
    expect(refusal({ where: members })).toContain('901 conditions');
    expect(refusal({ where: { k: members } })).toContain('901 conditions');
    expect(refusal({ where_document: { $or: [members] } })).toContain('902 conditions');
  });

  test('but accepted at the limits', () => {
    expect(refusal({ where: or(899, equal) })).toBeUndefined();
    expect(refusal({ where: { k: { $in: times(16_348, (i) => i) } } })).toBeUndefined();
    expect(refusal({ where: { k: { $in: times(32_696, String) } } })).toBeUndefined();
    expect(refusal({ ids: times(32_700, String) })).toBeUndefined();
    expect(refusal({ where: nested(61) })).toBeUndefined();
  });
});

describe('the outline', () => {
  test('reports whether a page is requested', () => {
    expect(outline({ limit: 1 }).isPaged).toBe(true);
    expect(outline({ offset: 0 }).isPaged).toBe(true);
    expect(outline({ limit: null, offset: null }).isPaged).toBe(false);
  });

  test('finds an n_results of exactly 0', () => {
    const body = Buffer.from('{"n_results" : 0 ,"query_embeddings":[[1,2],[3,4]]}');
    const { zeroResults, vectors } = outlineOf('query', body);
    expect(withOneResult(body, zeroResults!).toString()).toBe(
      '{"n_results" : 1 ,"query_embeddings":[[1,2],[3,4]]}',
    );
    expect(vectors).toBe(2);
    for (const other of ['0.0', '-0', '00', '10', '1', 'null', '"0"'])
      expect(outline(`{"n_results":${other}}`, 'query').zeroResults).toBeNull();
  });

  test.each<[boolean, OutlinedAction, unknown]>([
    [true, 'get', { ids: ['a'], include: ['documents'], where: null, limit: null }],
    [true, 'query', { query_embeddings: [[1]], n_results: 0, include: [] }],
    [false, 'query', { query_embeddings: [[1]], ids: ['a'] }],
    [false, 'query', { query_embeddings: [[1]], where: { k: 1 } }],
    [false, 'query', { query_embeddings: [[1]], include: ['x'] }],
    [false, 'query', { query_embeddings: [[1]], include: null }],
    [false, 'query', { query_embeddings: [[1]], unknown: 1 }],
    [false, 'get', { limit: 1 }],
  ])('is plain: %s, %s of %j', (isPlain, action, body) => {
    expect(outline(body, action).isPlain).toBe(isPlain);
  });
});
