// How large the rounds of one node are, and how long they take from their first call to their checkpoint.

import { BATCH_SIZES, DURATIONS, Histogram } from '../observability/histogram.ts';

export class RoundStats {
  readonly entries = new Histogram(BATCH_SIZES);
  readonly seconds = new Histogram(DURATIONS);

  observe(entries: number, ms: number): void {
    this.entries.observe(entries);
    this.seconds.observe(ms / 1_000);
  }
}
