import { beforeEach, expect, test } from 'vitest';
import { isClientRoute, RequestStats } from './request-stats.ts';

let stats: RequestStats;
beforeEach(() => {
  stats = new RequestStats();
  stats.observe({ route: 'query', status: 200, ms: 3 });
  stats.observe({ route: 'query', status: 200, ms: 40 });
  stats.observe({ route: 'query', status: 503, ms: 1 });
  stats.observe({ route: 'delete', status: 400, ms: 1 });
  stats.observe({ route: 'delete', status: null, ms: 1 });
});

test('counts requests by route and outcome', () => {
  const series = stats.metrics.flatMap((metric) =>
    metric.kind === 'histograms'
      ? Array.from(metric.read(), ({ labels, histogram }) => [
          labels['route'],
          labels['outcome'],
          histogram.count,
        ])
      : [],
  );
  expect(series).toEqual([
    ['query', '2xx', 2],
    ['query', '5xx', 1],
    ['delete', '4xx', 1],
    ['delete', 'aborted', 1],
  ]);
  expect(stats.count('delete', '4xx')).toBe(1);
  expect(stats.count('delete', '2xx')).toBe(0);
});

test('sums up requests, and those that failed, of clients or of all', () => {
  stats.observe({ route: 'GET /health', status: 503, ms: 1 });
  expect(stats.totals()).toEqual({ total: 6, failed: 3 });
  expect(stats.totals(isClientRoute)).toEqual({ total: 5, failed: 2 });
});

test('gives the durations of the successful requests of some routes, in seconds', () => {
  const { count, sum } = stats.durations(new Set(['query', 'get']));
  expect(count).toBe(2);
  expect(sum).toBeCloseTo(0.043);
});

test('counts a status that is none as a server error', () => {
  stats.observe({ route: 'odd', status: 999, ms: 1 });
  expect(stats.count('odd', '5xx')).toBe(1);
});
