import { expect, test } from 'vitest';
import { fakeNode } from '../../../test/support/status-source.ts';
import { RequestStats } from '../../http/request-stats.ts';
import { BATCH_SIZES, Histogram } from '../../observability/histogram.ts';
import { TrafficMeter } from './traffic.ts';

function setUp() {
  const requests = new RequestStats();
  const log = { entries: 0 };
  const applied = new Histogram(BATCH_SIZES);
  const counts = { calls: 0 };
  const nodes = [fakeNode('a', {}, { calls: () => counts.calls, rounds: () => ({ entries: applied }) })];
  return { requests, log, applied, counts, meter: new TrafficMeter({ requests, log, nodes: () => nodes }) };
}

test('rates are those since the last look, and unknown at the first', () => {
  const { requests, log, applied, counts, meter } = setUp();
  requests.observe({ route: 'query', status: 200, ms: 1 });
  expect(meter.measure(0)).toBeNull();
  for (let n = 0; n < 10; n++) requests.observe({ route: 'query', status: 200, ms: 4 });
  for (let n = 0; n < 4; n++) requests.observe({ route: 'add', status: 200, ms: 40 });
  requests.observe({ route: 'get', status: 503, ms: 1 });
  log.entries = 4;
  applied.observe(4);
  counts.calls = 12;
  expect(meter.measure(2_000)).toMatchObject({
    reads: { perSecond: 5 },
    writes: { perSecond: 2 },
    failedPerSecond: 0.5,
    appendedPerSecond: 2,
    nodes: { a: { calls: 6, applied: 2 } },
  });
});

test('percentiles are those of the last seconds, and unknown without a request', () => {
  const { requests, meter } = setUp();
  meter.measure(0);
  expect(meter.measure(1_000)).toMatchObject({ reads: { p50Ms: null, p99Ms: null } });
  for (let n = 0; n < 100; n++) requests.observe({ route: 'get', status: 200, ms: n < 98 ? 4 : 400 });
  const { reads } = meter.measure(2_000)!;
  expect(reads.p50Ms).toBeLessThanOrEqual(5);
  expect(reads.p99Ms).toBeGreaterThan(200);
  for (let second = 3; second < 9; second++) meter.measure(second * 1_000);
  expect(meter.measure(9_000)).toMatchObject({ reads: { perSecond: 0, p99Ms: null } });
});

test('a time without an open dashboard says nothing about now', () => {
  const { meter } = setUp();
  meter.measure(0);
  expect(meter.measure(60_000)).toBeNull();
  expect(meter.measure(61_000)).not.toBeNull();
});
