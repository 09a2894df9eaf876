// When a node's content is compared with the log because a call of unknown outcome was repeated (I8): a delayed duplicate
// cannot be prevented, so its effects are looked for once it has had time to execute.

import type { Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';

// A delayed duplicate is executed within moments, or within the bound of its call.
const RECHECK_MS = 5_000;

export class Recheck {
  readonly #clock: Clock;
  readonly #due = new Notifier();
  #scheduled: { isDue: boolean } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a call's outcome was unknown since the last comparison. */
  get isScheduled(): boolean {
    return this.#scheduled !== null;
  }

  get isDue(): boolean {
    return this.#scheduled?.isDue === true;
  }

  /** Schedules a comparison; `boundMs`: for so long the duplicate may be executing. */
  later(boundMs: number): void {
    const scheduled = { isDue: false };
    this.#scheduled = scheduled;
    this.#clock.after(Math.max(RECHECK_MS, boundMs), () => {
      scheduled.isDue = true;
      this.#due.notify();
    });
  }

  done(): void {
    this.#scheduled = null;
  }

  /** Resolves when one is due, or `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#due.wait(signal);
  }
}
