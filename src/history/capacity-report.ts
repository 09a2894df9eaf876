// Keeps the capacity of the cluster at hand: reads the sizes of the last weeks now and then, never on a client's request.

import { sleep, type Clock } from '../util/clock.ts';
import { capacityOf, type CapacityLimits, type CapacityStatus } from './capacity.ts';
import { HISTORY_STEPS } from './history-point.ts';
import type { HistoryStore } from './history-store.ts';

export interface CapacityReportOptions {
  readonly store: Pick<HistoryStore, 'data'>;
  readonly limits: CapacityLimits;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

const INTERVAL_MS = 300_000;
// The first sizes of a new cluster are stored within seconds of its start.
const FIRST_MS = 5_000;
const NEW_MS = 120_000;
// Longer ranges would hide a change of the load; so many days are the default of the history.
const RANGE_MS = 30 * 86_400_000;
const RECENT_MS = 3_600_000;

export class CapacityReport {
  readonly #options: CapacityReportOptions;
  #status: CapacityStatus | null = null;

  constructor(options: CapacityReportOptions) {
    this.#options = options;
  }

  /** As of the last five minutes; null before the first sizes were stored. */
  get status(): CapacityStatus | null {
    return this.#status;
  }

  /** Refreshes until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const start = clock.monotonic();
    while (!stop.aborted) {
      await sleep(clock, clock.monotonic() - start < NEW_MS ? FIRST_MS : INTERVAL_MS, stop);
      if (!stop.aborted) await this.refresh().catch(this.#options.onError);
    }
  }

  async refresh(): Promise<void> {
    const { store, limits, clock } = this.#options;
    const now = clock.now();
    const [finest, , coarsest] = HISTORY_STEPS;
    const hours = await store.data({ step: coarsest, fromMs: now - RANGE_MS, toMs: now });
    const recent = await store.data({ step: finest, fromMs: now - RECENT_MS, toMs: now });
    // One value an hour, and the newest: every hour has the same weight.
    this.#status = capacityOf([...hours, ...recent.slice(-1)], limits, now);
  }
}
