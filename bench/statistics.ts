// Percentiles, medians with their spread, and the longest pause between successful responses.

/** The smallest sample with at least `fraction` of all samples at or below it; NaN without samples. */
export function percentile(ascending: ArrayLike<number>, fraction: number): number {
  if (ascending.length === 0) return Number.NaN;
  // Rounding first: 0.07 × 100 is 7.000000000000001, whose ceiling is the next rank.
  const rank = Math.ceil(Number((fraction * ascending.length).toFixed(6)));
  return ascending[Math.min(Math.max(rank, 1), ascending.length) - 1]!;
}

/** Samples in ascending order, as `percentile` requires. */
export function sorted(samples: Iterable<number>): Float64Array {
  return Float64Array.from(samples).sort();
}

/** The middle value, or the mean of the two middle values; NaN without values. */
export function median(values: readonly number[]): number {
  const ascending = sorted(values);
  const middle = ascending.length >> 1;
  if (ascending.length % 2 === 1) return ascending[middle]!;
  return ((ascending[middle - 1] ?? Number.NaN) + (ascending[middle] ?? Number.NaN)) / 2;
}

/** A value over several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * The longest interval between `startMs` and `endMs` without a success. `successesMs` are the times of successful
 * responses in any order. The intervals before the first and after the last success count; successes after `endMs` do
 * not, because no calls arrive by then.
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
