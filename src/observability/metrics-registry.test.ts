import { expect, test } from 'vitest';
import { Histogram } from './histogram.ts';
import { MetricsRegistry, type Metric } from './metrics-registry.ts';

const counter = (name: string, read = () => 0): Metric => ({
  kind: 'counter',
  name,
  help: 'Requests since the start.',
  unit: 'requests',
  read,
});

test('reads each metric when a snapshot is taken', () => {
  const registry = new MetricsRegistry();
  let served = 1;
  registry.register('http', [counter('served', () => served)]);
  expect(registry.snapshot()).toEqual({ http_served: { value: 1, unit: 'requests' } });
  served = 2;
  expect(registry.snapshot()).toEqual({ http_served: { value: 2, unit: 'requests' } });
});

test('shows the limit of a bound', () => {
  const registry = new MetricsRegistry();
  const help = 'Bytes in memory.';
  registry.register('cache', [{ kind: 'bound', name: 'bytes', help, unit: 'bytes', max: 10, read: () => 3 }]);
  expect(registry.snapshot()).toEqual({ cache_bytes: { value: 3, unit: 'bytes', max: 10 } });
});

test('accepts one name in two components and refuses it twice in one', () => {
  const registry = new MetricsRegistry();
  registry.register('http', [counter('served')]);
  registry.register('admin', [counter('served')]);
  expect(() => registry.register('http', [counter('served')])).toThrow('http_served is registered twice');
});

test('refuses malformed names', () => {
  expect(() => new MetricsRegistry().register('http', [counter('Served requests')])).toThrow(
    'not a name of a metric',
  );
});

test('shows series with their labels, and histograms as a summary', () => {
  const registry = new MetricsRegistry();
  const histogram = new Histogram([1, 2]);
  histogram.observe(1);
  const [help, unit] = ['Series.', 'entries'];
  registry.register('apply', [
    { kind: 'counters', name: 'entries', help, unit, read: () => [{ labels: { node: 'a' }, value: 4 }] },
    { kind: 'histograms', name: 'sizes', help, unit, read: () => [{ labels: {}, histogram }] },
  ]);
  expect(registry.snapshot()).toEqual({
    'apply_entries{node="a"}': { value: 4, unit },
    apply_sizes: { value: 1, sum: 1, p50: 0.5, p95: 0.95, p99: 0.99, unit },
  });
});
