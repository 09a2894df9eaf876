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

let inLog: number;
let reads: number;
let unseen: number[];
let appliedByAll: number;
let logBuffer: LogBuffer;
beforeEach(() => {
  inLog = 10;
  reads = 0;
  unseen = [];
  appliedByAll = 0;
  const read = async (after: number, max: number): Promise<Entry[]> => {
    reads += 1;
    return entries(after + 1, Math.min(inLog, after + max));
  };
  const onUnseen = (lsn: number): void => void unseen.push(lsn);
  logBuffer = new LogBuffer({ read }, 10, { onUnseen, appliedByAll: () => appliedByAll });
});

const next = async (after: number): Promise<number[]> =>
  (await logBuffer.next(after, 100, 1e6, never)).map(({ lsn }) => lsn);

/** Appends, as this gateway does; `publish` may come later than the entries are in the log. */
function append(from: number, to: number): void {
  inLog = Math.max(inLog, to);
  logBuffer.committed(entries(from, to));
}

describe('who follows the log', () => {
  test('gets what was published from memory, and what was before from the log', async () => {
    append(11, 13);
    expect(await next(10)).toEqual([11, 12, 13]);
    expect([reads, unseen]).toEqual([0, []]);
    expect((await next(8)).slice(0, 3)).toEqual([9, 10, 11]);
    expect(reads).toBe(1);
  });

  test('waits for what is not known to be there', async () => {
    const waiting = next(10);
    append(11, 11);
    expect(await waiting).toEqual([11]);
  });

  test('gets nothing from the log that was appended and is not published yet', async () => {
    inLog = 12;
    expect(await next(8)).toEqual([9, 10]);
    append(11, 12);
    expect(await next(8)).toEqual([9, 10, 11, 12]);
  });
});

describe('what every node has applied', () => {
  test('is let go with the next append, and found in the log by who asks for it nevertheless', async () => {
    append(11, 13);
    appliedByAll = 12;
    append(14, 14);
    expect([logBuffer.peek(12), logBuffer.peek(13)?.lsn]).toEqual([undefined, 13]);
    expect([await next(12), reads]).toEqual([[13, 14], 0]);
    expect([await next(10), reads]).toEqual([[11, 12, 13, 14], 1]);
  });

  test('may be everything there is', async () => {
    append(11, 13);
    appliedByAll = 13;
    append(14, 15);
    expect([await next(13), logBuffer.head, reads]).toEqual([[14, 15], 15, 0]);
    expect(unseen).toEqual([]);
  });
});

describe('entries that were never published here', () => {
  /** What had been told when somebody who waited got them. */
  const toldFirst = async (grow: () => void): Promise<[number[], number[]]> => {
    const waiting = next(10).then((lsns): [number[], number[]] => [[...unseen], lsns]);
    grow();
    return waiting;
  };

  test('are told of before anybody is given them', async () => {
    inLog = 12;
    expect(await toldFirst(() => logBuffer.advance(12))).toEqual([[12], [11, 12]]);
  });

  test('are told of when an own entry shows that they are there', async () => {
    expect(await toldFirst(() => append(13, 14))).toEqual([[12], [11, 12, 13, 14]]);
    expect(await next(12)).toEqual([13, 14]);
  });

  test('are not told of twice, nor are those that were published', () => {
    append(11, 13);
    logBuffer.advance(13);
    logBuffer.advance(9);
    expect(unseen).toEqual([]);
    inLog = 15;
    logBuffer.advance(15);
    logBuffer.advance(15);
    // Their answer was late: they had been found in the log meanwhile.
    logBuffer.committed(entries(14, 15));
    expect([unseen, logBuffer.head]).toEqual([[15], 15]);
  });
});
