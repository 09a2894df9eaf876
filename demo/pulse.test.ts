import { expect, test } from 'vitest';
import type { Clock } from '../src/util/clock.ts';
import { PauseGauge, pulse } from './pulse.ts';

/** A clock that moves only when told to. */
class HandClock implements Clock {
  #nowMs = 0;
  #timers = new Set<{ atMs: number; task: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  async advance(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) {
      this.#nowMs++;
      for (const timer of [...this.#timers].filter(({ atMs }) => atMs <= this.#nowMs)) {
        this.#timers.delete(timer);
        timer.task();
      }
      // Lets everything that waits for those timers go on.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test('the longest pause is the longest time without a success, the beginning and the end included', async () => {
  const clock = new HandClock();
  const gauge = new PauseGauge(clock);
  await clock.advance(30);
  gauge.success();
  expect(gauge.longestMs).toBe(30);
  await clock.advance(10);
  gauge.success();
  expect(gauge.longestMs).toBe(30);
  await clock.advance(40);
  gauge.stop();
  expect(gauge.longestMs).toBe(40);
  await clock.advance(99);
  gauge.success();
  expect(gauge.longestMs).toBe(40);
});

/** Runs a pulse of 10 ms for `durationMs`, with the answers `answer` gives. */
async function run(
  durationMs: number,
  answer: (n: number, clock: Clock) => Promise<boolean>,
  inFlightMax = 100,
) {
  const clock = new HandClock();
  const stop = new AbortController();
  const beats: number[] = [];
  const beat = (n: number): Promise<boolean> => {
    beats.push(clock.now());
    return answer(n, clock);
  };
  const longest = pulse({ clock, periodMs: 10, inFlightMax, signal: stop.signal, beat });
  await clock.advance(durationMs);
  stop.abort();
  await clock.advance(200);
  return { longestMs: await longest, beats };
}

test('it beats on while answers are outstanding, and measures the silence', async () => {
  // Beats 2 to 9 are all answered at 100 ms, as when a server hangs and comes back.
  const { longestMs, beats } = await run(145, (n, clock) =>
    n < 2 || n >= 10
      ? Promise.resolve(true)
      : new Promise((resolve) => clock.after(100 - clock.monotonic(), () => resolve(true))),
  );
  expect(beats).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140]);
  expect(longestMs).toBe(90);
});

test('failures end no pause', async () => {
  const { longestMs } = await run(105, (n) => Promise.resolve(n < 3 || n > 8));
  expect(longestMs).toBe(70);
});

function unanswered(_n: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => clock.after(150, () => resolve(true)));
}

test('it leaves beats out once too many are unanswered', async () => {
  expect((await run(100, unanswered, 3)).beats).toEqual([0, 10, 20]);
});
