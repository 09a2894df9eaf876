import { expect, test } from 'vitest';
import { difference, Histogram, quantile } from './histogram.ts';

const of = (...values: number[]): Histogram => {
  const histogram = new Histogram([1, 2, 4]);
  for (const value of values) histogram.observe(value);
  return histogram;
};

test('counts values up to each bound, the bound included', () => {
  const histogram = of(0, 1, 1.5, 4, 100);
  expect(histogram.cumulative()).toEqual([2, 3, 4]);
  expect([histogram.count, histogram.sum]).toEqual([5, 106.5]);
});

test('interpolates quantiles within a bucket, and ends at the last bound', () => {
  const of4 = of(1.2, 1.4, 1.6, 1.8).state();
  expect(quantile(0.5, [1, 2, 4], of4)).toBe(1.5);
  expect(quantile(1, [1, 2, 4], of4)).toBe(2);
  expect(quantile(0.99, [1, 2, 4], of(100).state())).toBe(4);
  expect(quantile(0.5, [1, 2, 4], of().state())).toBeNull();
});

test('gives what was counted between two states', () => {
  const histogram = of(1, 3);
  const before = histogram.state();
  histogram.observe(3);
  histogram.observe(50);
  expect(difference(histogram.state(), before)).toEqual({ counts: [0, 0, 1, 1], count: 2, sum: 53 });
  expect(difference(histogram.state(), null)).toEqual(histogram.state());
});
