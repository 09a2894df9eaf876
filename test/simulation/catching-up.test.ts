// A node that was away comes back while clients write as fast as the primary takes it.

import { afterEach, expect, test } from 'vitest';
import { SHARD } from '../support/memory-replication.ts';
import { isWrite, replication, serving, upsert } from './scenario.ts';

afterEach(() => replication.stop());

const WRITERS = 8;
/** What a record takes a node; the one that was away is a little slower than the primary. */
const RECORD_MS: Readonly<Record<string, number>> = { a: 40, b: 40, c: 48 };
/** A round of the node that was away takes about as long as what appends are limited by is observed for, or less. */
const ROUND_ENTRIES = 100;
const AWAY_MS = 10_000;
const WITHIN_MS = 85_000;
const STEP_MS = 80;

/** Every node applies one call at a time, in the time that its records take. */
function limitRates(): void {
  const { clock } = replication;
  for (const { id, fake } of replication.replicas) {
    let freeAtMs = 0;
    fake.choose = (call) => {
      if (!isWrite(call)) return null;
      const records = (JSON.parse(call.body) as { ids: string[] }).ids.length;
      freeAtMs = Math.max(freeAtMs, clock.monotonic()) + records * RECORD_MS[id]!;
      return { slowMs: freeAtMs - clock.monotonic() };
    };
  }
}

/** Clients that each send the next write when the one before is acknowledged. */
function writers(stop: AbortSignal, isLimited: boolean): void {
  let written = 0;
  const run = async (): Promise<void> => {
    for (;;) {
      if (isLimited) await replication.backPressure.catchUp.turn(1, stop);
      if (stop.aborted) return;
      const lsn = replication.write('upsert', upsert(`r${written++ % 500}`, written));
      await replication.positions.reached({ lsn, shard: SHARD }, 'primary', stop);
    }
  };
  for (let n = 0; n < WRITERS; n++) void run();
}

/** Whether the node serves again in time, and how many writes were acknowledged meanwhile per second. */
async function returned(isLimited: boolean): Promise<{ serves: boolean; perSecond: number }> {
  const config = { WAL_BATCH_SIZE: ROUND_ENTRIES, WAL_HIGH_VOLUME_BATCH_SIZE: ROUND_ENTRIES };
  await serving(['a', 'b', 'c'], { config });
  replication.create();
  await replication.caughtUp();
  limitRates();
  const stop = new AbortController();
  writers(stop.signal, isLimited);
  const { fake, member } = replication.replica('c');
  fake.kill();
  await replication.clock.pass(AWAY_MS, STEP_MS);
  expect(member.state).toBe('down');
  fake.start();
  const before = replication.positions.applied('a');
  const since = replication.clock.monotonic();
  const serves = (): boolean => member.state === 'serving';
  await replication
    .until(serves, 'the node serves', { limitMs: WITHIN_MS, stepMs: STEP_MS })
    .catch(() => undefined);
  const seconds = (replication.clock.monotonic() - since) / 1_000;
  const perSecond = (replication.positions.applied('a') - before) / seconds;
  stop.abort();
  return { serves: serves(), perSecond };
}

test('catches up although it is no faster than the primary, and at least half of the writes go on', async () => {
  const { serves, perSecond } = await returned(true);
  expect(serves).toBe(true);
  expect(perSecond).toBeGreaterThan(1_000 / RECORD_MS['a']! / 2);
  await replication.caughtUp();
  expect(replication.content('c')).toBe(replication.content('a'));
});

test('would not catch up if appends were not limited', async () => {
  expect(await returned(false)).toMatchObject({ serves: false });
});
