// The clock and timers. Only this file calls Date.now and setTimeout, so that a simulator can drive a whole cluster
// from a seed.

import { onAbort } from './race.ts';

export interface Clock {
  /** Wall-clock time in ms since the epoch: for display and records, never for ordering. */
  now(): number;
  /** Monotonic time in ms: for deadlines, leases and durations. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts; never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      cancel();
      unsubscribe();
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    const unsubscribe = onAbort(signal, finish);
  });
}
