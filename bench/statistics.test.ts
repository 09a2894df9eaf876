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
  ])('of 1 … 100, %d of them are not above %d', (fraction, expected) => {
    expect(percentile(hundred, fraction)).toBe(expected);
  });

  it('is a sample, never a value in between', () => {
    expect(percentile([1, 1_000], 0.5)).toBe(1);
    expect(percentile([1, 1_000], 0.99)).toBe(1_000);
  });

  it('of nothing is not a number', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

it('samples are ordered as numbers, not as text', () => {
  expect([...sorted([10, 9, 100])]).toEqual([9, 10, 100]);
});

it('the median of an even count is the mean of the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([5, 1, 3])).toBe(3);
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
});

describe('longestPause', () => {
  it('finds the gap between two successes, whatever their order', () => {
    expect(longestPause([900, 100, 200, 300], 0, 1_000)).toBe(600);
  });

  it('counts the time before the first success and after the last', () => {
    expect(longestPause([700, 750], 0, 1_000)).toBe(700);
    expect(longestPause([100, 200], 0, 1_000)).toBe(800);
    expect(longestPause([], 0, 1_000)).toBe(1_000);
  });

  it('ends with the load: an answer that comes later ends no pause', () => {
    expect(longestPause([500, 990, 30_000], 0, 1_000)).toBe(500);
    expect(longestPause([100, 30_000], 0, 1_000)).toBe(900);
  });
});
