// How many requests were served and how long they took, by route and outcome.

import { DURATIONS, Histogram, sumOf, type HistogramState } from '../observability/histogram.ts';
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

/** Whether a route is one of Chroma's API; Polychrome's own, as those of probes, are named by method and path. */
export const isClientRoute = (route: string): boolean => !/^[A-Z]+ /.test(route);

/** Requests of several routes together. */
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

  /** `isCounted`: which routes. */
  totals(isCounted: (route: string) => boolean = () => true): RequestTotals {
    let [total, failed] = [0, 0];
    for (const [route, outcomes] of this.#routes) {
      if (!isCounted(route)) continue;
      for (const [outcome, { count }] of outcomes) {
        total += count;
        if (outcome === '5xx' || outcome === 'aborted') failed += count;
      }
    }
    return { total, failed };
  }

  /** Durations of successful requests of these routes together, in seconds. */
  durations(routes: ReadonlySet<string>): HistogramState {
    const states = Array.from(routes, (route) => this.#routes.get(route)?.get('2xx')?.state());
    return sumOf(
      DURATIONS,
      states.filter((state) => state !== undefined),
    );
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
