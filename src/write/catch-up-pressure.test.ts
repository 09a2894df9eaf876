import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { CatchUpPressure } from './catch-up-pressure.ts';

const WAIT_MS_MAX = 10_000;
const never = new AbortController().signal;

/** Writers that always have a write to send, and a node that applies so many entries per second. */
class Saturated {
  readonly clock = new ManualClock();
  readonly logged: string[] = [];
  head = 1_000;
  applied = 0;
  isCatchingUp = true;
  readonly pressure = new CatchUpPressure({
    catchingUp: () => (this.isCatchingUp ? [{ id: 'node-3', applied: Math.floor(this.applied) }] : []),
    head: () => this.head,
    waitMsMax: WAIT_MS_MAX,
    clock: this.clock,
    logger: {
      info: (_fields: object, text: string) => void this.logged.push(text),
      warn: (_fields: object, text: string) => void this.logged.push(text),
    },
  });

  /** Appends per second, on average, over so many seconds in which 16 writers each wait `takesMs` for a response. */
  async run(seconds: number, { appliedPerSecond, takesMs }: Load): Promise<number> {
    const before = this.head;
    const until = this.clock.monotonic() + seconds * 1_000;
    const writers = Array.from({ length: 16 }, async () => {
      while (this.clock.monotonic() < until) {
        await this.pressure.turn(1, never);
        this.head += 1;
        await new Promise<void>((resolve) => void this.clock.after(takesMs, resolve));
      }
    });
    for (let second = 0; second < seconds * 10; second++) {
      await this.clock.pass(100, 10);
      this.applied = Math.min(this.head, this.applied + appliedPerSecond / 10);
    }
    await this.clock.pass(WAIT_MS_MAX + takesMs, 10);
    await Promise.all(writers);
    return (this.head - before) / seconds;
  }
}

interface Load {
  readonly appliedPerSecond: number;
  readonly takesMs: number;
}

// 16 writers with responses after 160 ms: 100 appends per second.
const FULL = 100;
const LOAD = { takesMs: 160 };

test('lets writes pass while no node catches up', async () => {
  const saturated = new Saturated();
  saturated.isCatchingUp = false;
  const rate = await saturated.run(30, { ...LOAD, appliedPerSecond: 0 });
  expect([rate > 0.95 * FULL, saturated.logged]).toEqual([true, []]);
});

test('lets writes pass while the node comes closer by itself', async () => {
  const saturated = new Saturated();
  const rate = await saturated.run(30, { ...LOAD, appliedPerSecond: 2 * FULL });
  expect([rate > 0.95 * FULL, saturated.pressure.share, saturated.logged]).toEqual([true, 1, []]);
});

test('limits appends until a node that is as fast as they are comes closer, and then no longer', async () => {
  const saturated = new Saturated();
  await saturated.run(100, { ...LOAD, appliedPerSecond: FULL });
  expect(saturated.head - saturated.applied).toBeLessThan(500);
  expect(saturated.logged[0]).toBe('appends limited while a node catches up');
  saturated.isCatchingUp = false;
  const rate = await saturated.run(60, { ...LOAD, appliedPerSecond: FULL });
  expect([rate > 0.9 * FULL, saturated.pressure.share]).toEqual([true, 1]);
});

test('takes no more than half of the rate for a node that is too slow, and for a minute or two', async () => {
  const saturated = new Saturated();
  const slow = { ...LOAD, appliedPerSecond: 0.2 * FULL };
  expect(await saturated.run(60, slow)).toBeGreaterThan(0.45 * FULL);
  expect(saturated.pressure.share).toBe(0.5);
  await saturated.run(60, slow);
  expect(await saturated.run(60, slow)).toBeGreaterThan(0.9 * FULL);
  expect(saturated.logged).toEqual([
    'appends limited while a node catches up',
    'node is too slow to catch up; appends no longer wait for it',
    'appends no longer limited',
  ]);
});

test('does not limit appends for a node that applies nothing', async () => {
  const saturated = new Saturated();
  const rate = await saturated.run(60, { ...LOAD, appliedPerSecond: 0 });
  expect([rate > 0.9 * FULL, saturated.logged]).toEqual([true, []]);
});

test('releases a limit although the node stops in the middle', async () => {
  const saturated = new Saturated();
  await saturated.run(30, { ...LOAD, appliedPerSecond: 0.5 * FULL });
  expect(saturated.pressure.share).toBeLessThan(1);
  await saturated.run(180, { ...LOAD, appliedPerSecond: 0 });
  expect(saturated.pressure.share).toBe(1);
});

test('a write waits no longer than its bound', async () => {
  const saturated = new Saturated();
  await saturated.run(30, { ...LOAD, appliedPerSecond: 0.5 * FULL });
  const began = saturated.clock.monotonic();
  let passedAt = 0;
  // As much work as minutes of appends at this rate.
  const huge = saturated.pressure.turn(100_000, never);
  const next = saturated.pressure.turn(1, never).then(() => (passedAt = saturated.clock.monotonic()));
  await saturated.clock.pass(2 * WAIT_MS_MAX, 10);
  await Promise.all([huge, next]);
  expect(passedAt - began).toBeLessThanOrEqual(WAIT_MS_MAX + 10);
});
