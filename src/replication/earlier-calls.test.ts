import { expect, test } from 'vitest';
import type { Entry } from '../log/entry.ts';
import { EarlierCalls } from './earlier-calls.ts';

const entryAt = (lsn: number, target: string): Entry => ({
  lsn,
  kind: 'delete',
  target,
  header: '{}',
  body: Buffer.from('{}'),
  batch: 't',
  appendedAt: 0,
});

/** The log of two shards: entries 1 and 3 are of `s`, entry 2 of another. */
const ENTRIES = [entryAt(1, 's'), entryAt(2, 'other'), entryAt(3, 's')];
const LOG = { head: 3, peek: (lsn: number): Entry | null => ENTRIES[lsn - 1] ?? null };

function following(): EarlierCalls {
  const earlier = new EarlierCalls(100);
  earlier.begin(1, 0, LOG);
  return earlier;
}

test('content that an entry would leave is no trace of it while the node lacks an earlier entry of the shard', async () => {
  const earlier = following();
  const read = async (): Promise<'whole'> => 'whole';
  expect(await earlier.trace(ENTRIES[2]!, 0, read)).toBe('unknown');
  expect(await earlier.trace(ENTRIES[2]!, 1, read)).toBe('whole');
});

test('what shows that an entry was not applied is known at once, and asked for once', async () => {
  const earlier = following();
  let reads = 0;
  const read = async (): Promise<'none'> => ((reads += 1), 'none');
  expect(await earlier.trace(ENTRIES[2]!, 0, read)).toBe('none');
  expect(await earlier.trace(ENTRIES[2]!, 2, read)).toBe('none');
  expect(reads).toBe(1);
});

test('reads are labelled with the entries that an earlier leader may have sent, of their shard where it is known', () => {
  const labels: string[] = [];
  const positions = {
    sending: (node: string, shard: string, lsn: number) => void labels.push(`${node} ${shard} ${lsn}`),
    mayBeExecuting: (node: string, lsn: number) => void labels.push(`${node} any ${lsn}`),
  };
  following().label('a', 1, positions);
  expect(labels.splice(0)).toEqual(['a other 2', 'a s 3']);

  const behind = new EarlierCalls(100);
  behind.begin(1, 0, { head: 3, peek: () => null });
  behind.label('a', 1, positions);
  expect(labels).toEqual(['a any 3']);
});
