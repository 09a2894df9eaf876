// R1: an entry that was acknowledged is never quarantined, whatever nodes do with it afterwards.

import { afterEach, describe, expect, test } from 'vitest';
import { SHARD } from '../support/memory-replication.ts';
import {
  FAILURE,
  executed,
  following,
  isWrite,
  replication,
  suspicion,
  upsert,
  writing,
} from './scenario.ts';

afterEach(() => replication.stop());

/** Whether the entry has been acknowledged at level `primary`; asked again later. */
function acknowledged(lsn: number): () => boolean {
  let isReached = false;
  const { signal } = new AbortController();
  void replication.positions.reached({ lsn, shard: SHARD }, 'primary', signal).then(() => (isReached = true));
  return () => isReached;
}

/** The node hangs on the call that is in flight, and is killed and started again. */
async function killedByCall(id: string): Promise<void> {
  const { fake } = replication.replica(id);
  await replication.until(() => fake.hanging > 0, `${id} has the call`);
  replication.restart(id);
  await replication.until(() => fake.up, `${id} is back`);
}

describe('a success of the primary while the entry is being quarantined', () => {
  /** Two processes have died of the entry three times; while that is being recorded, the primary applies it. */
  async function race(): Promise<{ isAcknowledged: () => boolean; finish: () => void; lsn: number }> {
    await following('a', 'b');
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(writing('"1"'), 'hang', Infinity);
    const { promise, resolve: finish } = Promise.withResolvers<void>();
    let isRecording = false;
    Object.defineProperty(replication.decisions, 'recording', {
      get: () => ((isRecording = true), promise),
    });
    const lsn = replication.write('upsert', upsert('x', 1));
    const isAcknowledged = acknowledged(lsn);
    await killedByCall('a');
    await killedByCall('b');
    const { fake } = replication.replica('a');
    await replication.until(() => fake.hanging > 0, 'the first node has the call again');
    await killedByCall('b');
    await replication.until(() => isRecording, 'the end is being recorded');
    expect(replication.primary).toBe('a');
    fake.release();
    await replication.clock.pass(1_000, 10);
    return { isAcknowledged, finish, lsn };
  }

  test('is not acknowledged, and the copy is suspect once it is recorded', async () => {
    const { isAcknowledged, finish, lsn } = await race();
    expect([executed('a'), isAcknowledged(), replication.ended]).toEqual([['1'], false, []]);
    finish();
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn, outcome: 'quarantined' }]);
    expect(suspicion('a')).toBe(`applied LSN ${lsn}, which is quarantined`);
  });
});

describe('under a new leader, an entry that a node had applied before the earlier one could save its checkpoint', () => {
  /** The primary applies the entry, which is acknowledged; then its gateway is replaced, and every node fails it. */
  async function applied(body: string): Promise<number> {
    await following('a', 'b', 'c');
    for (const id of ['b', 'c']) replication.replica(id).fake.plan(isWrite, FAILURE, Infinity);
    replication.storage.checkpointsFail = true;
    const lsn = replication.write('upsert', body);
    const isAcknowledged = acknowledged(lsn);
    await replication.until(isAcknowledged, 'the entry is acknowledged');
    replication.replica('a').fake.plan(isWrite, FAILURE, Infinity);
    replication.storage.checkpointsFail = false;
    await replication.replaceGateway();
    await replication.caughtUp();
    return lsn;
  }

  test.each([
    ['documents and embeddings', upsert('x', 1)],
    ['metadata', '{"ids":["x"],"embeddings":[[1]],"metadatas":[{"n":1}]}'],
  ])(
    'stays on the node whose content shows it, and the other copies are suspect: %s',
    async (_what, body) => {
      await applied(body);
      expect(replication.ended).toEqual([]);
      expect(['a', 'b', 'c'].map((id) => suspicion(id) === null)).toEqual([true, false, false]);
      expect(replication.content('a')).toContain('"ids":["x"]');
    },
  );
});
