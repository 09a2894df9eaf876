// What is made of measured values: exact percentiles of sorted samples, medians over rounds with their spread, and
// the longest time without a successful answer.

/** The smallest sample such that at least `fraction` of all are not above it; NaN when there is none. */
export function percentile(ascending: ArrayLike<number>, fraction: number): number {
  if (ascending.length === 0) return Number.NaN;
  // Rounded first: 0.07 × 100 is 7.000000000000001, and its ceiling would be the next sample.
  const rank = Math.ceil(Number((fraction * ascending.length).toFixed(6)));
  return ascending[Math.min(Math.max(rank, 1), ascending.length) - 1]!;
}

/** Samples in ascending order, as `percentile` wants them. */
export function sorted(samples: Iterable<number>): Float64Array {
  return Float64Array.from(samples).sort();
}

/** The middle value, or the mean of the two middle ones; NaN when there is none. */
export function median(values: readonly number[]): number {
  const ascending = sorted(values);
  const middle = ascending.length >> 1;
  if (ascending.length % 2 === 1) return ascending[middle]!;
  return ((ascending[middle - 1] ?? Number.NaN) + (ascending[middle] ?? Number.NaN)) / 2;
}

/** A value measured in several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * The longest stretch between `startMs` and `endMs` in which nothing succeeded. `successesMs` are the moments of
 * successful answers, in any order; the stretch before the first and that after the last count. What was answered
 * later is not asked about: by then nothing arrived any more.
 */
export function longestPause(successesMs: Iterable<number>, startMs: number, endMs: number): number {
  let longest = 0;
  let last = startMs;
  for (const moment of sorted(successesMs)) {
    if (moment > endMs) break;
    longest = Math.max(longest, moment - last);
    last = moment;
  }
  return Math.max(longest, endMs - last);
}
