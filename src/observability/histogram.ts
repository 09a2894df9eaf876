// Counts of measured values in fixed buckets: cheap enough for every request, and addable over gateways by Prometheus.

/** Upper bounds for durations in seconds: from a cached response to the longest timeout of a write. */
export const DURATIONS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

/** Upper bounds for sizes of batches: the largest round and append have 1,024 entries. */
export const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024] as const;

export class Histogram {
  /** Upper bounds of the buckets, ascending; one more bucket holds what is larger. */
  readonly bounds: readonly number[];
  readonly #counts: Float64Array;
  #count = 0;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    // Most values are small, so a linear search is faster than a binary one.
    while (at < bounds.length && value > (bounds[at] as number)) at++;
    (this.#counts[at] as number)++;
    this.#count += 1;
    this.#sum += value;
  }

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  /** Values up to each bound, as Prometheus counts them. */
  cumulative(): number[] {
    let total = 0;
    return this.bounds.map((_bound, at) => (total += this.#counts[at] as number));
  }

  /** A copy, from which a later state can be subtracted. */
  state(): HistogramState {
    return { counts: [...this.#counts], count: this.#count, sum: this.#sum };
  }
}

/** What a histogram has counted, values larger than the last bound at the end. */
export interface HistogramState {
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** What histograms of these bounds have counted together. */
export function sumOf(bounds: readonly number[], states: readonly HistogramState[]): HistogramState {
  const total = { counts: Array.from({ length: bounds.length + 1 }, () => 0), count: 0, sum: 0 };
  for (const { counts, count, sum } of states) {
    for (const [at, inBucket] of counts.entries()) (total.counts[at] as number) += inBucket;
    total.count += count;
    total.sum += sum;
  }
  return total;
}

/** What was counted between two states of histograms of the same bounds. */
export function difference(later: HistogramState, earlier: HistogramState | null): HistogramState {
  if (earlier === null) return later;
  return {
    counts: later.counts.map((count, at) => count - (earlier.counts[at] ?? 0)),
    count: later.count - earlier.count,
    sum: later.sum - earlier.sum,
  };
}

/**
 * The value below which the fraction `q` of all values lies, interpolated within its bucket; null without values. Above
 * the last bound it is that bound.
 */
export function quantile(
  q: number,
  bounds: readonly number[],
  { counts, count }: HistogramState,
): number | null {
  if (count === 0) return null;
  const rank = q * count;
  let below = 0;
  for (const [at, bound] of bounds.entries()) {
    const inBucket = counts[at] ?? 0;
    if (inBucket > 0 && below + inBucket >= rank) {
      const from = at === 0 ? 0 : (bounds[at - 1] as number);
      return from + (bound - from) * Math.max(0, (rank - below) / inBucket);
    }
    below += inBucket;
  }
  return bounds.at(-1) ?? null;
}
