// How many requests were served and how long they took, by route and outcome.

import { DURATIONS, Histogram, type HistogramState } from '../observability/histogram.ts';
import type { LabelledMetric } from '../observability/metrics-registry.ts';
import type { RouteParams } from './router.ts';

/** The class of the status; `aborted`: the client disconnected, or the response could not be completed. */
export type RequestOutcome = '2xx' | '3xx' | '4xx' | '5xx' | 'aborted';

const CLASSES: readonly RequestOutcome[] = ['2xx', '3xx', '4xx', '5xx'];

/** A request that has been served. */
export interface ServedRequest {
  /** The name of its route, of which an application has a fixed number. */
  readonly route: string;
  /** Null when the response was aborted. */
  readonly status: number | null;
  readonly ms: number;
  readonly params: RouteParams;
  /** Empty where the route reads none. */
  readonly body: Buffer;
}

/** Requests of all routes together. */
export interface RequestTotals {
  readonly total: number;
  /** Responses of status 500 and above, and aborted ones. */
  readonly failed: number;
}

export class RequestStats {
  readonly #routes = new Map<string, Map<RequestOutcome, Histogram>>();

  observe({ route, status, ms }: Pick<ServedRequest, 'route' | 'status' | 'ms'>): void {
    let outcomes = this.#routes.get(route);
    if (outcomes === undefined) this.#routes.set(route, (outcomes = new Map()));
    const outcome = outcomeOf(status);
    let histogram = outcomes.get(outcome);
    if (histogram === undefined) outcomes.set(outcome, (histogram = new Histogram(DURATIONS)));
    histogram.observe(ms / 1_000);
  }

  /** Requests of a route with this outcome. */
  count(route: string, outcome: RequestOutcome): number {
    return this.#routes.get(route)?.get(outcome)?.count ?? 0;
  }

  totals(): RequestTotals {
    let [total, failed] = [0, 0];
    for (const outcomes of this.#routes.values())
      for (const [outcome, { count }] of outcomes) {
        total += count;
        if (outcome === '5xx' || outcome === 'aborted') failed += count;
      }
    return { total, failed };
  }

  /** Durations of successful requests of these routes together, in seconds. */
  durations(routes: ReadonlySet<string>): HistogramState {
    const sum = { counts: Array.from({ length: DURATIONS.length + 1 }, () => 0), count: 0, sum: 0 };
    for (const [route, outcomes] of this.#routes) {
      const state = routes.has(route) ? outcomes.get('2xx')?.state() : undefined;
      if (state === undefined) continue;
      for (const [at, count] of state.counts.entries()) (sum.counts[at] as number) += count;
      sum.count += state.count;
      sum.sum += state.sum;
    }
    return sum;
  }

  get metrics(): readonly LabelledMetric[] {
    return [
      {
        kind: 'histograms',
        name: 'request_duration',
        help: 'Time from the head of a request to the end of its response.',
        unit: 'seconds',
        read: () => this.#series(),
      },
    ];
  }

  *#series(): Iterable<{ labels: { route: string; outcome: string }; histogram: Histogram }> {
    for (const [route, outcomes] of this.#routes)
      for (const [outcome, histogram] of outcomes) yield { labels: { route, outcome }, histogram };
  }
}

function outcomeOf(status: number | null): RequestOutcome {
  if (status === null) return 'aborted';
  return CLASSES[Math.floor(status / 100) - 2] ?? '5xx';
}
