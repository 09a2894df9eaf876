// A clock that a test advances.

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

  /** Advances by `ms` and runs due timers in order. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) if (timer.atMs < (next?.atMs ?? Infinity)) next = timer;
      if (next === null || next.atMs > untilMs) break;
      this.#timers.delete(next);
      // Timers that fell due during a freeze run late, not in the past.
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.task();
    }
    this.#nowMs = untilMs;
  }

  /** Advances by `ms` without running timers, as a suspended machine; due timers run at the next advance. */
  freeze(ms: number): void {
    this.#nowMs += ms;
  }

  /** Advances by `ms` in steps; before and after each step, pending promises settle. */
  async pass(ms: number, stepMs = 50): Promise<void> {
    await new Promise(setImmediate);
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(left, stepMs));
      await new Promise(setImmediate);
    }
  }
}
