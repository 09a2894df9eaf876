import { beforeEach, describe, expect, test } from 'vitest';
import type { Entry } from './entry.ts';
import { LogBuffer } from './log-buffer.ts';
import { LogFeed, type EntryChange } from './log-feed.ts';

const entry = (lsn: number): Entry => ({
  lsn,
  kind: 'add',
  target: `shard-${lsn}`,
  header: '{}',
  body: Buffer.alloc(0),
  batch: `batch-${lsn}`,
  appendedAt: 0,
});
const lsnsOf = (changes: readonly EntryChange[]): number[] => changes.map(({ lsn }) => lsn);

let leads: boolean;
/** Entries that the log holds, as LSN up to which it reaches. */
let durable: number;
let reads: string[];
let published: number[];
let changed: number[];
let gaps: number;
let buffer: LogBuffer;
let feed: LogFeed;
beforeEach(() => {
  [leads, durable, reads, published, changed, gaps] = [true, 0, [], [], [], 0];
  const log = {
    read: async (after: number, entriesMax: number) => {
      reads.push(`entries ${after + 1}`);
      const count = Math.min(entriesMax, durable - after);
      return Array.from({ length: count }, (_, i) => entry(after + 1 + i));
    },
    changes: async (after: number, upTo: number) => {
      reads.push(`changes ${after + 1}`);
      return Array.from({ length: upTo - after }, (_, i) => entry(after + 1 + i));
    },
  };
  buffer = new LogBuffer(log, 0);
  feed = new LogFeed({
    buffer,
    publisher: {
      publish: (entries) => {
        published.push(...lsnsOf(entries));
        buffer.committed(entries);
      },
    },
    log,
    onChanges: (changes) => changed.push(...lsnsOf(changes)),
    onEntries: () => undefined,
    leads: () => leads,
    onGap: () => (gaps += 1),
    appendInFlight: async () => undefined,
  });
});

test('entries appended here are published at once, without a read', () => {
  feed.committed([entry(1), entry(2)]);
  expect([published, buffer.head, reads]).toEqual([[1, 2], 2, []]);
});

test('entries appended here wait for those of other gateways that precede them', async () => {
  feed.committed([entry(3)]);
  expect([published, gaps]).toEqual([[], 1]);
  durable = 3;
  await feed.advance(3);
  expect([published, reads]).toEqual([[1, 2, 3], ['entries 1']]);
});

test('an entry that the head showed before the append returned is published once', async () => {
  durable = 2;
  await feed.advance(2);
  feed.committed([entry(1), entry(2), entry(3)]);
  expect(published).toEqual([1, 2, 3]);
});

test('more batches than are kept are read from the log', async () => {
  for (let lsn = 2; lsn < 30; lsn++) feed.committed([entry(lsn)]);
  durable = 29;
  await feed.advance(29);
  expect(published).toEqual(Array.from({ length: 29 }, (_, i) => i + 1));
});

describe('a gateway that does not lead', () => {
  beforeEach(() => (leads = false));

  test('reads only what the entries change', async () => {
    await feed.advance(2);
    expect([changed, published, buffer.head, reads]).toEqual([[1, 2], [], 2, ['changes 1']]);
    feed.committed([entry(3)]);
    expect(published).toEqual([3]);
  });

  test('drops what it has cached when it missed very many', async () => {
    await feed.advance(20_000);
    expect([changed, buffer.head, reads]).toEqual([[], 20_000, []]);
  });
});
