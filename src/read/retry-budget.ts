// Bounds repeated reads: a share of all reads, and a reserve for the moment at which a node fails with reads in flight. So
// an overload that makes reads fail is not doubled by their repetitions.

import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';

// As many reads as may be in flight on a node that fails.
const RESERVE_MAX = 1_000;
// A gateway with few reads can always repeat some.
const REFILL_PER_SECOND = 10;

export class RetryBudget {
  readonly #share: number;
  readonly #clock: Clock;
  #tokens = RESERVE_MAX;
  #refilledAt: number;
  readonly counts = { retries: 0, refused: 0 };

  /** `share`: repetitions for each read, in the long run. */
  constructor(share: number, clock: Clock) {
    this.#share = share;
    this.#clock = clock;
    this.#refilledAt = clock.monotonic();
  }

  get metrics(): readonly Metric[] {
    const { counts } = this;
    return [
      {
        kind: 'counter',
        name: 'retries',
        help: 'Reads repeated on another node.',
        unit: 'reads',
        read: () => counts.retries,
      },
      {
        kind: 'counter',
        name: 'retries_refused',
        help: 'Reads not repeated because the retry budget was exhausted.',
        unit: 'reads',
        read: () => counts.refused,
      },
    ];
  }

  /** A new read adds its share to the budget. */
  readStarted(): void {
    this.#add(this.#share);
  }

  /** Whether a read may be repeated now; takes it from the budget. */
  take(): boolean {
    const now = this.#clock.monotonic();
    this.#add(((now - this.#refilledAt) / 1_000) * REFILL_PER_SECOND * Math.sign(this.#share));
    this.#refilledAt = now;
    const isAllowed = this.#tokens >= 1 && this.#share > 0;
    if (isAllowed) this.#tokens -= 1;
    this.counts[isAllowed ? 'retries' : 'refused'] += 1;
    return isAllowed;
  }

  #add(tokens: number): void {
    this.#tokens = Math.min(RESERVE_MAX, this.#tokens + tokens);
  }
}
