// The limits of filters on a bare server: it responds at each limit, alone and combined, and fails above.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_FILTER_LIMITS, filterRefusal } from '../../src/chroma/parse/filter-limits.ts';
import { outlineOf } from '../../src/chroma/parse/request-outline.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { startBareServer, type BareServer } from '../support/chroma-server.ts';

type Body = Readonly<Record<string, unknown>>;

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
const ids = (count: number): string[] => times(count, (index) => `id-${index}`);
const equal = (index: number): object => ({ k: index });
const contains = (index: number): object => ({ $contains: `word ${index}` });
const all = (operator: '$and' | '$or', count: number, make: (index: number) => object): object => ({
  [operator]: times(count, make),
});
const within = (count: number): object => ({ k: { $in: times(count, (index) => index) } });
/** `levels` operators around one condition, with `beside` conditions at each, after the inner one. */
const nested = (levels: number, beside: number): object =>
  times(levels, (index) => index).reduce<object>(
    (inner, level) => ({ [level % 2 === 0 ? '$or' : '$and']: [inner, ...times(beside, equal)] }),
    { k: 1 },
  );

/** Within the default limits: at a limit or near it. */
const ANSWERED: readonly (readonly [name: string, body: Body])[] = [
  ['899 conditions in $or', { where: all('$or', 899, equal) }],
  ['899 conditions in $and', { where: all('$and', 899, (index) => ({ k: { $nin: [index] } })) }],
  ['899 conditions on documents', { where_document: all('$or', 899, contains) }],
  ['449 conditions each', { where: all('$or', 449, equal), where_document: all('$and', 449, contains) }],
  ['59 levels with 14 conditions at each', { where: nested(59, 14) }],
  ['3 levels with 298 conditions at each', { where: nested(3, 298) }],
  ['62 levels', { where: nested(62, 0) }],
  ['16,348 numbers in $in', { where: within(16_348) }],
  ['32,696 texts in $in', { where: { k: { $in: ids(32_696) } } }],
  ['200 lists of 78 numbers', { where: all('$and', 200, () => within(78)) }],
  ['32,700 ids', { ids: ids(32_700) }],
  ['28,000 ids beside 899 conditions', { ids: ids(28_000), where: all('$or', 899, equal) }],
  ['20,000 ids beside 6,348 numbers', { ids: ids(20_000), where: within(6_348) }],
  ['a text of 49,998 bytes', { where_document: { $contains: 'x'.repeat(49_998) } }],
  ['a text of 24,999 underscores', { where_document: { $contains: '_'.repeat(24_999) } }],
  ['a regular expression of 49,998 bytes', { where_document: { $regex: 'x'.repeat(49_998) } }],
];

/** Beyond the limits, and failing on a server. */
const FAILING: readonly (readonly [name: string, body: Body])[] = [
  ['989 conditions in $or', { where: all('$or', 989, equal) }],
  ['989 conditions in $and', { where: all('$and', 989, equal) }],
  ['995 conditions on documents', { where_document: all('$or', 995, contains) }],
  ['60 levels with 16 conditions at each', { where: nested(60, 16) }],
  ['16,381 numbers in $in', { where: within(16_381) }],
  ['32,763 texts in $in', { where: { k: { $in: ids(32_763) } } }],
  ['32,764 ids', { ids: ids(32_764) }],
  ['20,000 ids beside 13,000 numbers', { ids: ids(20_000), where: within(13_000) }],
  ['a text of 49,999 bytes', { where_document: { $contains: 'x'.repeat(49_999) } }],
  ['a text of 25,000 underscores', { where_document: { $not_contains: '_'.repeat(25_000) } }],
  ['a text of 25,000 backslashes', { where_document: { $contains: '\\'.repeat(25_000) } }],
  ['two lists of 8,190 numbers', { where: all('$and', 2, () => within(8_190)) }],
];

const isRefused = (body: Body): boolean =>
  filterRefusal(outlineOf('get', Buffer.from(JSON.stringify(body))).filter, DEFAULT_FILTER_LIMITS) !== null;

describe('a bare server', () => {
  let server: BareServer;
  let http: ChromaHttp;
  let collection: string;

  beforeAll(async () => {
    server = await startBareServer();
    http = new ChromaHttp(server.url);
    collection = await http.create('limits');
    const records = { ids: ['a'], embeddings: [[1, 2]], metadatas: [{ k: 1 }], documents: ['word 1'] };
    expect((await http.records(collection, 'add', records)).status).toBe(201);
  });
  afterAll(() => server?.stop());

  test.each(ANSWERED)('responds to %s', async (_name, body) => {
    expect(isRefused(body)).toBe(false);
    expect((await http.records(collection, 'get', body)).status).toBe(200);
    const missing = { ...body, ids: ['none', ...((body['ids'] as string[] | undefined) ?? []).slice(1)] };
    expect((await http.records(collection, 'delete', missing)).status).toBe(200);
  });

  test.each(FAILING)('fails at %s', async (_name, body) => {
    expect(isRefused(body)).toBe(true);
    expect((await http.records(collection, 'get', body)).status).toBe(500);
  });

  test('cannot parse 63 levels', async () => {
    expect(isRefused({ where: nested(63, 0) })).toBe(true);
    expect((await http.records(collection, 'get', { where: nested(63, 0) })).status).toBe(400);
  });

  test('accepts any number of ids in a query without a filter and in a delete', async () => {
    const query = { query_embeddings: [[1, 2]], ids: times(40_000, () => 'a') };
    expect((await http.records(collection, 'query', query)).status).toBe(200);
    expect((await http.records(collection, 'delete', { ids: ids(40_000) })).status).toBe(200);
  });
});

test('a bare server exits at 20,000 conditions', async () => {
  const server = await startBareServer();
  try {
    const http = new ChromaHttp(server.url);
    const collection = await http.create('limits');
    await http.records(collection, 'add', { ids: ['a'], embeddings: [[1, 2]] });
    const body = { where_document: all('$or', 20_000, contains) };
    expect(isRefused(body)).toBe(true);
    await expect(http.records(collection, 'get', body)).rejects.toThrow();
    await expect(http.collections()).rejects.toThrow();
  } finally {
    await server.stop();
  }
});
