// Limits the bytes that copies move in a second.

import { sleep, type Clock } from '../util/clock.ts';

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
    this.#paidUntil = Math.max(now, this.#paidUntil) + (bytes * 1_000) / this.#bytesPerSecond;
    if (this.#paidUntil > now) await sleep(this.#clock, this.#paidUntil - now, signal);
  }
}
