import { expect, test } from 'vitest';
import { Holds } from './hold.ts';

const never = new AbortController().signal;

test('stops between two rounds, at its checkpoint, until it is released', async () => {
  const holds = new Holds();
  expect(await holds.released(3, never)).toBe(false);
  const holding = holds.hold(never);
  let isOutdated: boolean | null = null;
  const passing = holds.released(4, never).then((outdated) => (isOutdated = outdated));
  const held = await holding;
  expect([held!.checkpoint, isOutdated]).toEqual([4, null]);
  held!.release();
  await passing;
  // What the holder changed is read anew.
  expect(isOutdated).toBe(true);
  expect(await holds.released(5, never)).toBe(false);
});

test('stays stopped for every holder, and across a restart of the applier', async () => {
  const holds = new Holds();
  const [first, second] = [holds.hold(never), holds.hold(never)];
  const run = new AbortController();
  const stopped = holds.released(1, run.signal);
  const held = [await first, await second];
  run.abort();
  await stopped;
  let isPast = false;
  const passing = holds.released(1, never).then(() => (isPast = true));
  held[0]!.release();
  await Promise.resolve();
  expect([isPast, holds.isRequested]).toEqual([false, true]);
  held[1]!.release();
  await passing;
});

test('is given up when it is not reached in time', async () => {
  const holds = new Holds();
  const limit = new AbortController();
  const holding = holds.hold(limit.signal);
  limit.abort();
  expect(await holding).toBeNull();
  expect(holds.isRequested).toBe(false);
});
