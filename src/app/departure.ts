// The time between SIGTERM and the stop of a gateway: balancers that still send requests here learn to send them elsewhere.

import { sleep, type Clock } from '../util/clock.ts';

export class Departure {
  readonly #clock: Clock;
  readonly #delayMs: number;
  #hasBegun = false;
  readonly #failed = new AbortController();

  constructor(clock: Clock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** From now on /ready and /health are 503, and each response is the last on its connection; requests are served. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Resolves when the gateway may stop. */
  async begin(): Promise<void> {
    this.#hasBegun = true;
    if (this.#delayMs > 0) await sleep(this.#clock, this.#delayMs, this.#failed.signal);
  }

  /** The gateway cannot go on: it stops at once. */
  fail(): void {
    this.#failed.abort();
  }
}
