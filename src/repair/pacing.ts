// Limits the bytes that copies move in a second, and the share of its time that a node spends on a scrub.

import { sleep, type Clock } from '../util/clock.ts';

// What was not used of the last second may be used: moving itself takes time.
const UNUSED_MS_MAX = 1_000;

export class Pacing {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** When everything moved so far may have been moved, clock.monotonic() ms. */
  #paidUntil = -Infinity;

  /** `bytesPerSecond`: 0 for no limit. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Resolves when so many bytes, just moved, are within the limit, or `signal` aborts. */
  async pace(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === 0) return;
    const now = this.#clock.monotonic();
    this.#paidUntil = Math.max(now - UNUSED_MS_MAX, this.#paidUntil) + (bytes * 1_000) / this.#bytesPerSecond;
    if (this.#paidUntil > now) await sleep(this.#clock, this.#paidUntil - now, signal);
  }
}

// A read that waits for long writes of the node takes seconds, and keeps it busy for less.
const REST_MS_MAX = 50;

/** How long a node rests after a read of so many ms, at `rest` times as long as the read. */
export function restAfter(ms: number, rest: number): number {
  return Math.min(rest * ms, REST_MS_MAX);
}

/** How long the read took, of so many ms together with the rest after it. */
export function withoutRest(ms: number, rest: number): number {
  return Math.max(ms / (1 + rest), ms - REST_MS_MAX);
}
