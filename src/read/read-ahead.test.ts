import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Collection } from '../catalog/catalog.ts';
import { ReadAhead } from './read-ahead.ts';
import type { Reader } from './reader.ts';
import { RecordCache } from './record-cache.ts';
import { ShardLSNs } from './shard-lsns.ts';

const COLUMNS = ['documents', 'metadatas'] as const;
const HEAD = 10;

let clock: ManualClock;
let records: RecordCache;
let ahead: ReadAhead;
let stop: AbortController;
/** Documents by id, the same in every shard. */
let documents: Map<string, string>;
/** What was asked of nodes: `count`, or `offset+limit` of a page. */
let asked: string[];
let beforeAnswer: () => void;

const whole: Reader['whole'] = async (_wanted, { path }) => {
  await Promise.resolve();
  expect(path('p')).toMatch(/\/count$/);
  asked.push('count');
  return Buffer.from(String(documents.size));
};

const read: Reader['read'] = async (_wanted, { body }) => {
  await Promise.resolve();
  const headers = { 'x-polychrome-lsn': String(HEAD) };
  const { limit, offset } = JSON.parse(String(body)) as { limit: number; offset: number };
  asked.push(`${offset}+${limit}`);
  beforeAnswer();
  const page = [...documents].slice(offset, offset + limit);
  const answer = { ids: page.map(([id]) => id), documents: page.map(([, document]) => document) };
  const metadatas = page.map(() => null);
  return { status: 200, headers, body: Buffer.from(JSON.stringify({ ...answer, metadatas })) };
};

function build(bytesMax: number, count: number, length: number): void {
  documents = new Map(Array.from({ length: count }, (_, n) => [`r${n}`, 'x'.repeat(length)]));
  records = new RecordCache({ bytesMax, heads: new ShardLSNs(HEAD), head: HEAD, isTold: () => true });
  stop = new AbortController();
  ahead = new ReadAhead({ reader: { read, whole }, records, clock, stopped: stop.signal });
}

beforeEach(() => {
  clock = new ManualClock();
  [asked, beforeAnswer] = [[], () => undefined];
  build(1e6, 1_000, 100);
});

const target = (shard: string): Parameters<ReadAhead['missed']>[0] => ({
  shard,
  collection: { tenant: 't', database: 'd', id: shard } as unknown as Collection,
});
const known = (shard = 's'): number =>
  [...documents.keys()].filter((id) => records.find(shard, id, HEAD, COLUMNS) !== null).length;

/** Queries find `rows` unknown rows. */
async function miss(rows: number, shard = 's'): Promise<void> {
  records.counted(shard, rows, rows);
  ahead.missed(target(shard), COLUMNS, rows);
  await clock.pass(500);
}

test('a shard whose records are missed again and again is read through, page by page', async () => {
  await miss(499);
  expect(asked).toEqual([]);
  await miss(1);
  expect(asked.slice(0, 2)).toEqual(['count', '0+50']);
  expect(asked.length).toBeGreaterThan(3);
  expect(known()).toBe(1_000);
  expect(records.missing('s')).toBe(0);
});

test('pages have as many rows as make up some hundred kilobytes', async () => {
  build(1e8, 100, 10_000);
  await miss(500);
  const sizes = asked.slice(2).map((page) => Number(page.split('+')[1]));
  expect(Math.min(...sizes)).toBe(Math.max(...sizes));
  expect(sizes[0]! * 10_000).toBeGreaterThan(100_000);
  expect(sizes[0]! * 10_000).toBeLessThan(140_000);
  expect(known()).toBe(100);
});

test('what does not fit is left after the first page, and tried again a minute later', async () => {
  build(200_000, 1_000, 100);
  await miss(500);
  expect(asked).toEqual(['count', '0+50']);
  expect(records.missing('s')).toBeGreaterThan(0.9);
  await miss(5_000);
  expect(asked.length).toBe(2);
  await clock.pass(60_000, 1_000);
  await miss(500);
  expect(asked.length).toBe(4);
});

test('nothing kept for other shards is dropped for it', async () => {
  build(500_000, 1_000, 100);
  await miss(500, 'a');
  expect(known('a')).toBe(1_000);
  await miss(500, 'b');
  expect([known('a'), known('b')]).toEqual([1_000, 50]);
});

test('one shard at a time is read', async () => {
  ahead.missed(target('a'), COLUMNS, 500);
  ahead.missed(target('b'), COLUMNS, 500);
  await clock.pass(500);
  expect(asked.filter((what) => what === 'count')).toHaveLength(1);
  ahead.missed(target('b'), COLUMNS, 1);
  await clock.pass(500);
  expect([known('a'), known('b')]).toEqual([1_000, 1_000]);
});

test('reading ends when all is forgotten meanwhile', async () => {
  beforeAnswer = () => {
    if (asked.length === 3) records.clear();
  };
  await miss(500);
  expect(asked).toHaveLength(3);
  expect(known()).toBe(0);
  expect(records.missing('s')).toBeGreaterThan(0.9);
});

test('what is added while it is read counts for the room there is', async () => {
  build(500_000, 1_000, 100);
  beforeAnswer = () => {
    for (let n = 0; n < 300; n++) documents.set(`new ${documents.size}`, 'x'.repeat(100));
  };
  await miss(500);
  await clock.pass(2_000);
  expect(asked.length).toBeLessThan(20);
  expect(records.room).toBeGreaterThanOrEqual(0);
  expect(known()).toBeLessThan(documents.size);
});

test('reading ends with the gateway', async () => {
  beforeAnswer = () => {
    if (asked.length === 3) stop.abort();
  };
  await miss(500);
  expect(asked).toHaveLength(3);
});

test('an answer that is none ends it, and nobody else notices', async () => {
  beforeAnswer = () => {
    throw new Error('no node');
  };
  await miss(500);
  expect(asked).toHaveLength(2);
  beforeAnswer = () => undefined;
  await clock.pass(60_000, 1_000);
  await miss(500);
  expect(known()).toBe(1_000);
});
