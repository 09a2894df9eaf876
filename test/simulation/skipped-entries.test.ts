// An entry that a node skips, because it has lost the shard or its copy is suspect, counts for no acknowledgement
// (I3).

import { afterEach, expect, test } from 'vitest';
import type { RecordKind } from '../../src/chroma/parse/record-call.ts';
import type { AckLevel } from '../../src/coordination/cluster-view.ts';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { BOTH, following, RED, replication, suspicion } from './scenario.ts';

const LEVELS = ['primary', 'quorum', 'all'] as const;
const PEARS = `${COLLECTIONS}/pears`;
const ANOTHER = '{"ids":["z"],"embeddings":[[3]],"documents":["blue"]}';

afterEach(() => replication.stop());

/** Three nodes that have two records, of which c then loses them with their collection. */
async function oneHasLostTheCollection(): Promise<void> {
  await following('a', 'b', 'c');
  replication.write('add', BOTH);
  await replication.caughtUp();
  replication.replica('c').fake.look('DELETE', PEARS);
}

/** A write, and the levels it has reached so far. */
function write(kind: RecordKind, body: string): { lsn: number; reached: AckLevel[] } {
  const lsn = replication.write(kind, body);
  const reached: AckLevel[] = [];
  for (const level of LEVELS) {
    const waiting = replication.positions.reached({ lsn, shard: SHARD }, level, new AbortController().signal);
    void waiting.then(() => reached.push(level));
  }
  return { lsn, reached };
}

test('reaches primary and quorum, but not all, when one node has lost the collection', async () => {
  await oneHasLostTheCollection();
  for (const [kind, body] of [
    ['delete', RED],
    ['upsert', ANOTHER],
  ] as const) {
    const { reached } = write(kind, body);
    await replication.caughtUp();
    expect([kind, reached.toSorted()]).toEqual([kind, ['primary', 'quorum']]);
    expect(suspicion('c')).toContain('no such collection');
  }
});

test('reaches no further level when the node skips it under another term', async () => {
  await oneHasLostTheCollection();
  const before = replication.write('delete', RED);
  const c = replication.replica('c');
  await replication.until(() => c.member.markerLSN === before, 'the marker of c is written');
  c.fake.kill();
  await replication.until(() => c.member.state === 'down', 'c is known to be down');
  const { lsn, reached } = write('upsert', ANOTHER);
  await replication.caughtUp('a', 'b');
  c.checkpoint = lsn;
  c.fake.start();
  await replication.until(() => replication.positions.applied('c') === lsn, 'c follows from its checkpoint');
  await replication.clock.pass(10, 10);
  expect(reached.toSorted()).toEqual(['primary', 'quorum']);
});

test('reaches every level when the entry was refused: it has no effect that a node could lack', async () => {
  await following('a');
  replication.write('add', BOTH);
  await replication.caughtUp();
  replication.replica('a').fake.look('DELETE', PEARS);
  const { lsn, reached } = write('delete', RED);
  await replication.caughtUp();
  expect(suspicion('a')).toContain('no such collection');
  expect((await replication.decisions.find(lsn))?.outcome).toBe('refused');
  expect(reached.toSorted()).toEqual(['all', 'primary', 'quorum']);
});
