import { describe, expect, it } from 'vitest';
import { longestPause, median, percentile, sorted, spread } from './statistics.ts';

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);

  it.each([
    [0.5, 50],
    [0.99, 99],
    [0.07, 7],
    [0.991, 100],
    [1, 100],
    [0, 1],
  ])('returns for fraction %d of 1 … 100 the value %d', (fraction, expected) => {
    expect(percentile(hundred, fraction)).toBe(expected);
  });

  it('returns a sample, never an interpolated value', () => {
    expect(percentile([1, 1_000], 0.5)).toBe(1);
    expect(percentile([1, 1_000], 0.99)).toBe(1_000);
  });

  it('returns NaN without samples', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

it('sorts samples numerically', () => {
  expect([...sorted([10, 9, 100])]).toEqual([9, 10, 100]);
});

it('averages the two middle values when the count is even', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([5, 1, 3])).toBe(3);
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
});

describe('longestPause', () => {
  it('finds the longest gap when successes are unordered', () => {
    expect(longestPause([900, 100, 200, 300], 0, 1_000)).toBe(600);
  });

  it('counts the time before the first and after the last success', () => {
    expect(longestPause([700, 750], 0, 1_000)).toBe(700);
    expect(longestPause([100, 200], 0, 1_000)).toBe(800);
    expect(longestPause([], 0, 1_000)).toBe(1_000);
  });

  it('ignores successes after the end of the load', () => {
    expect(longestPause([500, 990, 30_000], 0, 1_000)).toBe(500);
    expect(longestPause([100, 30_000], 0, 1_000)).toBe(900);
  });
});
