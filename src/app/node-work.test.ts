import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import { Workload } from '../replication/workload.ts';
import { nodeWork } from './node-work.ts';

const STAGGER_MS = 500;

test('a call of a rebuild explains why its node is silent, and does not make it one that reads avoid', async () => {
  const clock = new ManualClock();
  const [workload, copying] = [new Workload(clock, STAGGER_MS), new Workload(clock, STAGGER_MS)];
  const work = nodeWork({ workload, copying, readsInFlight: new ReadsInFlight(clock) }, () => false);
  expect(work.explainsSilence).toBe(false);
  const since = clock.monotonic();
  const end = copying.begin({ lsns: [], work: 1 });
  await clock.pass(2_000);
  expect([work.explainsSilence, work.isLong, work.isOverdueBy(0)]).toEqual([true, false, false]);
  end(true);
  expect([work.explainsSilence, work.explainsSilenceSince(since)]).toEqual([false, true]);
  copying.begin({ lsns: [], work: 1 });
  await clock.pass(copying.boundMs(1) + 6_000);
  expect(work.explainsSilence).toBe(false);
});

test('another leader that works on the node explains its silence', () => {
  const clock = new ManualClock();
  const parts = { workload: new Workload(clock, STAGGER_MS), copying: new Workload(clock, STAGGER_MS) };
  const work = nodeWork({ ...parts, readsInFlight: new ReadsInFlight(clock) }, () => true);
  expect([work.explainsSilence, work.isLong]).toEqual([true, true]);
});
