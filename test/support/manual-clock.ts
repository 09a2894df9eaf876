// Time that passes when a test says so.

import type { Clock } from '../../src/util/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000;
  readonly #timers = new Set<Timer>();

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

  /** Lets `ms` pass, running what falls due in order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers]
        .filter((timer) => timer.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      // What fell due during a freeze runs late, not in the past.
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.task();
    }
    this.#nowMs = untilMs;
  }

  /** Lets `ms` pass as a suspended machine does: nothing runs; what fell due does at the next advance. */
  freeze(ms: number): void {
    this.#nowMs += ms;
  }

  /** Lets `ms` pass in steps; before and after each, what is going on runs as far as it can without more time. */
  async pass(ms: number, stepMs = 50): Promise<void> {
    await new Promise(setImmediate);
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(left, stepMs));
      await new Promise(setImmediate);
    }
  }
}
