// Requests that took long: their shape, never their content.

import type { Clock } from '../util/clock.ts';
import type { Metric } from './metrics-registry.ts';
import { shapeOf, type Shape } from './request-shape.ts';
import { StoredQueue } from './stored-queue.ts';

export interface SlowRequest {
  /** Wall clock, ms since the epoch. */
  readonly at: number;
  readonly route: string;
  /** The collection as the client named it in the path; null for other routes. */
  readonly collection: string | null;
  /** HTTP status; null when the response was aborted. */
  readonly status: number | null;
  readonly ms: number;
  readonly shape: Shape;
}

/** A served request as far as this needs it. */
export interface ObservedRequest {
  readonly route: string;
  readonly status: number | null;
  readonly ms: number;
  readonly params: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface SlowRequestsOptions {
  readonly store: { append(requests: readonly SlowRequest[]): Promise<void> };
  /** From how many ms on a request is slow; 0: none is. */
  readonly thresholdMs: number;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

// Some hundred bytes each.
const QUEUED_MAX = 200;
// When everything is slow, a sample says as much as all: looking at a body costs up to a few milliseconds.
const PER_SECOND_MAX = 5;

export class SlowRequests {
  readonly #options: SlowRequestsOptions;
  readonly #queue: StoredQueue<SlowRequest>;
  #slow = 0;
  #second = 0;
  #inSecond = 0;

  constructor(options: SlowRequestsOptions) {
    this.#options = options;
    this.#queue = new StoredQueue({ ...options, itemsMax: QUEUED_MAX });
  }

  observe({ route, status, ms, params, body }: ObservedRequest): void {
    const { thresholdMs, clock } = this.#options;
    if (thresholdMs === 0 || ms < thresholdMs) return;
    this.#slow += 1;
    const second = Math.floor(clock.monotonic() / 1_000);
    if (second !== this.#second) [this.#second, this.#inSecond] = [second, 0];
    this.#inSecond += 1;
    if (this.#inSecond > PER_SECOND_MAX) return;
    const collection = params['collection'] ?? null;
    this.#queue.add({ at: clock.now(), route, collection, status, ms: Math.round(ms), shape: shapeOf(body) });
  }

  stop(): Promise<void> {
    return this.#queue.stop();
  }

  get metrics(): readonly Metric[] {
    return [
      {
        kind: 'counter',
        name: 'requests',
        help: 'Requests that took SLOW_QUERY_MS or longer.',
        unit: 'requests',
        read: () => this.#slow,
      },
      {
        kind: 'bound',
        name: 'queued',
        help: 'Slow requests that wait to be stored.',
        unit: 'requests',
        max: QUEUED_MAX,
        read: () => this.#queue.waiting,
      },
    ];
  }
}
