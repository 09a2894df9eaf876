import { beforeEach, describe, expect, test } from 'vitest';
import type { Entry } from './entry.ts';
import { LogBuffer } from './log-buffer.ts';

const entry = (lsn: number): Entry => ({
  lsn,
  kind: 'add',
  target: 's',
  header: '{}',
  body: Buffer.from(String(lsn)),
  batch: 'b',
  appendedAt: 0,
});
const entries = (from: number, to: number): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, n) => entry(from + n));

const never = new AbortController().signal;

let logEnd: number;
let reads: number;
let unseen: number[];
let appliedByAll: number;
let logBuffer: LogBuffer;
beforeEach(() => {
  logEnd = 10;
  reads = 0;
  unseen = [];
  appliedByAll = 0;
  const read = async (after: number, max: number): Promise<Entry[]> => {
    reads += 1;
    return entries(after + 1, Math.min(logEnd, after + max));
  };
  const onUnseen = (lsn: number): void => void unseen.push(lsn);
  logBuffer = new LogBuffer({ read }, 10, { onUnseen, appliedByAll: () => appliedByAll });
});

const next = async (after: number): Promise<number[]> =>
  (await logBuffer.next(after, 100, 1e6, never)).map(({ lsn }) => lsn);

/** An append of this gateway: the entries are in the log, and the buffer is notified. */
function append(from: number, to: number): void {
  logEnd = Math.max(logEnd, to);
  logBuffer.committed(entries(from, to));
}

describe('next', () => {
  test('returns committed entries from memory, and older ones from the log', async () => {
    append(11, 13);
    expect(await next(10)).toEqual([11, 12, 13]);
    expect([reads, unseen]).toEqual([0, []]);
    expect((await next(8)).slice(0, 3)).toEqual([9, 10, 11]);
    expect(reads).toBe(1);
  });

  test('waits for an entry beyond the head', async () => {
    const waiting = next(10);
    append(11, 11);
    expect(await waiting).toEqual([11]);
  });

  test('returns no entry from the log before it is committed here', async () => {
    logEnd = 12;
    expect(await next(8)).toEqual([9, 10]);
    append(11, 12);
    expect(await next(8)).toEqual([9, 10, 11, 12]);
  });
});

describe('entries that every node has applied', () => {
  test('leave memory with the next append and are then read from the log', async () => {
    append(11, 13);
    appliedByAll = 12;
    append(14, 14);
    expect([logBuffer.peek(12), logBuffer.peek(13)?.lsn]).toEqual([null, 13]);
    expect([await next(12), reads]).toEqual([[13, 14], 0]);
    expect([await next(10), reads]).toEqual([[11, 12, 13, 14], 1]);
  });

  test('may be all entries in memory', async () => {
    append(11, 13);
    appliedByAll = 13;
    append(14, 15);
    expect([await next(13), logBuffer.head, reads]).toEqual([[14, 15], 15, 0]);
    expect(unseen).toEqual([]);
  });
});

test('counts the lists of parsed entries as memory', () => {
  const bytesOf = (parsedBytes?: (parsed: unknown) => number): number => {
    const buffer = new LogBuffer({ read: async () => [] }, 10, { ...(parsedBytes && { parsedBytes }) });
    buffer.committed(entries(11, 40).map((each) => ({ ...each, parsed: each.lsn })));
    const metric = buffer.metrics.find(({ name }) => name === 'bytes');
    expect(buffer.peek(40)).not.toBeNull();
    return metric!.read();
  };
  const bare = bytesOf();
  expect(bytesOf((parsed) => Number(parsed)) - bare).toBe((30 * (11 + 40)) / 2);
  // 30 lists of 2 MiB are more than the bound of 32 MiB.
  const large = 2 * 1024 * 1024;
  expect(bytesOf(() => large) - bare).toBeLessThan(16 * large);
});

describe('entries that were never committed here', () => {
  /** What onUnseen had reported when a waiting next() returned, and the entries it returned. */
  const reportedFirst = async (grow: () => void): Promise<[number[], number[]]> => {
    const waiting = next(10).then((lsns): [number[], number[]] => [[...unseen], lsns]);
    grow();
    return waiting;
  };

  test('are reported before next() returns them', async () => {
    logEnd = 12;
    expect(await reportedFirst(() => logBuffer.advance(12))).toEqual([[12], [11, 12]]);
  });

  test('are reported when a later entry of this gateway leaves a gap', async () => {
    expect(await reportedFirst(() => append(13, 14))).toEqual([[12], [11, 12, 13, 14]]);
    expect(await next(12)).toEqual([13, 14]);
  });

  test('are reported once; entries committed here are not reported', () => {
    append(11, 13);
    logBuffer.advance(13);
    logBuffer.advance(9);
    expect(unseen).toEqual([]);
    logEnd = 15;
    logBuffer.advance(15);
    logBuffer.advance(15);
    // Committed here late: they had been found in the log meanwhile.
    logBuffer.committed(entries(14, 15));
    expect([unseen, logBuffer.head]).toEqual([[15], 15]);
  });
});
