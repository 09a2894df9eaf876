// How long calls to a node take, by kind and outcome.

import { DURATIONS, Histogram, sumOf, type HistogramState } from '../../observability/histogram.ts';

export type CallKind = 'read' | 'mutation';
export type CallOutcome = 'response' | 'failure';

export class CallStats {
  /** Calls since the start. */
  total = 0;
  readonly #histograms = new Map<string, { kind: CallKind; outcome: CallOutcome; histogram: Histogram }>();

  observe(kind: CallKind, outcome: CallOutcome, ms: number): void {
    this.total += 1;
    const key = `${kind} ${outcome}`;
    let entry = this.#histograms.get(key);
    if (entry === undefined) {
      entry = { kind, outcome, histogram: new Histogram(DURATIONS) };
      this.#histograms.set(key, entry);
    }
    entry.histogram.observe(ms / 1_000);
  }

  /** Durations of calls that got a response, in seconds. */
  responses(): HistogramState {
    const responses = [...this.#histograms.values()].filter(({ outcome }) => outcome === 'response');
    return sumOf(
      DURATIONS,
      responses.map(({ histogram }) => histogram.state()),
    );
  }

  /** One series for each kind and outcome that there was, under the node's id. */
  *series(
    node: string,
  ): Iterable<{ labels: { node: string; kind: string; outcome: string }; histogram: Histogram }> {
    for (const { kind, outcome, histogram } of this.#histograms.values())
      yield { labels: { node, kind, outcome }, histogram };
  }
}
