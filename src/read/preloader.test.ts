import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Collection } from '../catalog/catalog.ts';
import { Preloader } from './preloader.ts';
import type { Reader, ReadResponse } from './reader.ts';
import { RecordCache } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const COLUMNS = ['documents', 'metadatas'] as const;
const HEAD = 10;

let clock: ManualClock;
let records: RecordCache;
let preloader: Preloader;
let stop: AbortController;
/** Documents by id, the same in every shard. */
let documents: Map<string, string>;
/** Requests to nodes: `count`, or `offset+limit` of a page. */
let asked: string[];
let beforeResponse: () => void;

const readBody: Reader['readBody'] = async (_requirements, { path }) => {
  await Promise.resolve();
  expect(path('p')).toMatch(/\/count$/);
  asked.push('count');
  return Buffer.from(String(documents.size));
};

const read: Reader['read'] = async (_requirements, { body }) => {
  await Promise.resolve();
  const headers = { 'x-polychrome-lsn': String(HEAD) };
  const { limit, offset } = JSON.parse(String(body)) as { limit: number; offset: number };
  asked.push(`${offset}+${limit}`);
  beforeResponse();
  const page = [...documents].slice(offset, offset + limit);
  const columns = { ids: page.map(([id]) => id), documents: page.map(([, document]) => document) };
  const metadatas = page.map(() => null);
  const response = Buffer.from(JSON.stringify({ ...columns, metadatas }));
  return { status: 200, headers, body: response, applied: HEAD } satisfies ReadResponse;
};

function build(bytesMax: number, count: number, length: number): void {
  documents = new Map(Array.from({ length: count }, (_, n) => [`r${n}`, 'x'.repeat(length)]));
  records = new RecordCache({ bytesMax, heads: new ShardLSNs(HEAD), head: HEAD, isCurrent: () => true });
  stop = new AbortController();
  preloader = new Preloader({ reader: { read, readBody }, records, clock, stopped: stop.signal });
}

beforeEach(() => {
  clock = new ManualClock();
  [asked, beforeResponse] = [[], () => undefined];
  build(1e6, 1_000, 100);
});

const target = (shard: string): Parameters<Preloader['reportMisses']>[0] => ({
  shard,
  collection: { tenant: 't', database: 'd', id: shard } as unknown as Collection,
});
const cached = (shard = 's'): number =>
  [...documents.keys()].filter((id) => records.find(id, { shard, applied: HEAD, columns: COLUMNS }) !== null)
    .length;

/** Queries return `rows` rows that are not cached. */
async function miss(rows: number, shard = 's'): Promise<void> {
  records.countRows(shard, rows, rows);
  preloader.reportMisses(target(shard), COLUMNS, rows);
  await clock.pass(500);
}

test('preloads a shard page by page once queries have missed enough of its records', async () => {
  await miss(499);
  expect(asked).toEqual([]);
  await miss(1);
  expect(asked.slice(0, 2)).toEqual(['count', '0+50']);
  expect(asked.length).toBeGreaterThan(3);
  expect(cached()).toBe(1_000);
  expect(records.missShare('s')).toBe(0);
});

test('sizes pages to some hundred kilobytes', async () => {
  build(1e8, 100, 10_000);
  await miss(500);
  const sizes = asked.slice(2).map((page) => Number(page.split('+')[1]));
  expect(Math.min(...sizes)).toBe(Math.max(...sizes));
  expect(sizes[0]! * 10_000).toBeGreaterThan(100_000);
  expect(sizes[0]! * 10_000).toBeLessThan(140_000);
  expect(cached()).toBe(100);
});

test('stops after the first page when the shard does not fit, and retries a minute later', async () => {
  build(200_000, 1_000, 100);
  await miss(500);
  expect(asked).toEqual(['count', '0+50']);
  expect(records.missShare('s')).toBeGreaterThan(0.9);
  await miss(5_000);
  expect(asked.length).toBe(2);
  await clock.pass(60_000, 1_000);
  await miss(500);
  expect(asked.length).toBe(4);
});

test('evicts no records of other shards', async () => {
  build(500_000, 1_000, 100);
  await miss(500, 'a');
  expect(cached('a')).toBe(1_000);
  await miss(500, 'b');
  expect([cached('a'), cached('b')]).toEqual([1_000, 50]);
});

test('preloads one shard at a time', async () => {
  preloader.reportMisses(target('a'), COLUMNS, 500);
  preloader.reportMisses(target('b'), COLUMNS, 500);
  await clock.pass(500);
  expect(asked.filter((what) => what === 'count')).toHaveLength(1);
  preloader.reportMisses(target('b'), COLUMNS, 1);
  await clock.pass(500);
  expect([cached('a'), cached('b')]).toEqual([1_000, 1_000]);
});

test('stops when the cache is cleared meanwhile', async () => {
  beforeResponse = () => {
    if (asked.length === 3) records.clear();
  };
  await miss(500);
  expect(asked).toHaveLength(3);
  expect(cached()).toBe(0);
  expect(records.missShare('s')).toBeGreaterThan(0.9);
});

test('counts records added meanwhile towards the free bytes', async () => {
  build(500_000, 1_000, 100);
  beforeResponse = () => {
    for (let n = 0; n < 300; n++) documents.set(`new ${documents.size}`, 'x'.repeat(100));
  };
  await miss(500);
  await clock.pass(2_000);
  expect(asked.length).toBeLessThan(20);
  expect(records.bytesFree).toBeGreaterThanOrEqual(0);
  expect(cached()).toBeLessThan(documents.size);
});

test('stops with the gateway', async () => {
  beforeResponse = () => {
    if (asked.length === 3) stop.abort();
  };
  await miss(500);
  expect(asked).toHaveLength(3);
});

test('stops when a read fails, and retries later', async () => {
  beforeResponse = () => {
    throw new Error('no node');
  };
  await miss(500);
  expect(asked).toHaveLength(2);
  beforeResponse = () => undefined;
  await clock.pass(60_000, 1_000);
  await miss(500);
  expect(cached()).toBe(1_000);
});
