import { expect, test } from 'vitest';
import { Exposition, exposedNames } from './exposition.ts';
import { Histogram } from './histogram.ts';
import { MetricsRegistry, type LabelledMetric, type Metric } from './metrics-registry.ts';

const registry = new MetricsRegistry();
const histogram = new Histogram([0.1, 1]);
for (const value of [0.05, 0.5, 5]) histogram.observe(value);
const metrics: (Metric | LabelledMetric)[] = [
  { kind: 'counter', name: 'refused', help: 'Refused.', unit: 'connections', read: () => 3 },
  { kind: 'bound', name: 'held', help: 'Held.', unit: 'bytes', max: 9, read: () => 2 },
  {
    kind: 'gauges',
    name: 'lag',
    help: 'Lag.',
    unit: 'seconds',
    read: () => [{ labels: { node: 'a"b' }, value: 1.5 }],
  },
  {
    kind: 'histograms',
    name: 'duration',
    help: 'Time.',
    unit: 'seconds',
    read: () => [{ labels: { route: 'query' }, histogram }],
  },
];
registry.register('test', metrics);

test('exposes conventional names with their units, and every limit beside its value', async () => {
  const text = await new Exposition(registry).text();
  expect(text).toContain('# TYPE polychrome_test_refused_total counter\npolychrome_test_refused_total 3\n');
  expect(text).toContain('polychrome_test_held_bytes 2\n');
  expect(text).toContain('polychrome_test_held_bytes_limit 9\n');
  expect(text).toContain('polychrome_test_lag_seconds{node="a\\"b"} 1.5\n');
});

test('exposes histograms with cumulative buckets', async () => {
  const text = await new Exposition(registry).text();
  const lines = text.split('\n').filter((line) => line.startsWith('polychrome_test_duration'));
  expect(lines).toEqual([
    'polychrome_test_duration_seconds_bucket{route="query",le="0.1"} 1',
    'polychrome_test_duration_seconds_bucket{route="query",le="1"} 2',
    'polychrome_test_duration_seconds_bucket{route="query",le="+Inf"} 3',
    'polychrome_test_duration_seconds_sum{route="query"} 5.55',
    'polychrome_test_duration_seconds_count{route="query"} 3',
  ]);
});

test('exposes the event loop and the garbage collector of the process, also for a second gateway in it', async () => {
  for (const text of [
    await new Exposition(registry).text(),
    await new Exposition(new MetricsRegistry()).text(),
  ])
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
});

test('names what it exposes', async () => {
  const text = await new Exposition(registry).text();
  for (const [name, metric] of registry.all())
    for (const exposed of exposedNames(name, metric))
      expect(text).toMatch(new RegExp(`^${exposed}[ {]`, 'm'));
});
