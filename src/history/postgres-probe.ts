// Whether PostgreSQL responds, asked at an interval: for health and alerts, never for the path of a request.

import type { LabelledMetric, Metric } from '../observability/metrics-registry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Database } from '../postgres/database.ts';

/** What the last statements found. */
export interface PostgresHealth {
  /** Time since the last response; null before the first. */
  readonly respondedMsAgo: number | null;
  /** How long the last response took, ms; null before the first. */
  readonly latencyMs: number | null;
  /** Why the last statement failed; null when it did not. */
  readonly error: string | null;
}

export interface PostgresProbeOptions {
  readonly database: Pick<Database, 'query'>;
  readonly clock: Clock;
}

// A failure is seen by requests at once; this is for what operators see.
const INTERVAL_MS = 2_000;

export class PostgresProbe {
  readonly #options: PostgresProbeOptions;
  #respondedAt: number | null = null;
  #latencyMs: number | null = null;
  #error: string | null = null;

  constructor(options: PostgresProbeOptions) {
    this.#options = options;
  }

  get health(): PostgresHealth {
    const { clock } = this.#options;
    const respondedMsAgo = this.#respondedAt === null ? null : clock.monotonic() - this.#respondedAt;
    return { respondedMsAgo, latencyMs: this.#latencyMs, error: this.#error };
  }

  /** Asks until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.ask();
      await sleep(this.#options.clock, INTERVAL_MS, stop);
    }
  }

  async ask(): Promise<void> {
    const { database, clock } = this.#options;
    const since = clock.monotonic();
    try {
      await database.query('select 1');
      this.#respondedAt = clock.monotonic();
      this.#latencyMs = this.#respondedAt - since;
      this.#error = null;
    } catch (error) {
      this.#error = error instanceof Error ? error.message : String(error);
    }
  }

  get metrics(): readonly (Metric | LabelledMetric)[] {
    return [
      {
        kind: 'gauge',
        name: 'up',
        help: '1 while PostgreSQL responds.',
        unit: 'boolean',
        read: () => (this.#error === null && this.#respondedAt !== null ? 1 : 0),
      },
      {
        kind: 'gauge',
        name: 'response_time',
        help: 'How long PostgreSQL took for the last statement of the health probe.',
        unit: 'seconds',
        read: () => (this.#latencyMs ?? 0) / 1_000,
      },
    ];
  }
}
