// The metrics of a gateway and of its process in the text format of Prometheus.

import { collectDefaultMetrics, Registry, type Metric as PromMetric } from 'prom-client';
import type { Labels, LabelledMetric, Metric, MetricsRegistry } from './metrics-registry.ts';

const PREFIX = 'polychrome_';

/** One series, or one bucket of a histogram. */
interface SeriesSample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName: string;
}

interface Exposed {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly aggregator: 'sum';
  readonly values: readonly SeriesSample[];
}

/** The names under which a metric is exposed: the unit and the kind are part of it, as is the custom. */
export function exposedNames(name: string, metric: Metric | LabelledMetric): readonly string[] {
  const base = baseName(name, metric.unit);
  switch (metric.kind) {
    case 'counter':
    case 'counters':
      return [`${base}_total`];
    case 'bound':
      return [base, `${base}_limit`];
    case 'histograms':
      return [`${base}_bucket`, `${base}_sum`, `${base}_count`];
    case 'gauge':
    case 'gauges':
      return [base];
  }
}

function baseName(name: string, unit: string): string {
  const isPart = (unit !== 'bytes' && unit !== 'seconds') || name.endsWith(`_${unit}`);
  return `${PREFIX}${name}${isPart ? '' : `_${unit}`}`;
}

/** Exposes a registry, and what Node measures of the process. */
export class Exposition {
  readonly #metrics: MetricsRegistry;

  constructor(metrics: MetricsRegistry) {
    this.#metrics = metrics;
    processMetrics();
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  async text(): Promise<string> {
    const registry = new Registry();
    for (const [name, metric] of this.#metrics.all())
      for (const exposed of exposedOf(name, metric)) registry.registerMetric(asPromMetric(exposed));
    return `${await registry.metrics()}\n${await processMetrics().metrics()}`;
  }
}

let ofProcess: Registry | null = null;

/** Memory, CPU, event loop and garbage collection: once a process, however many gateways it runs. */
function processMetrics(): Registry {
  if (ofProcess !== null) return ofProcess;
  ofProcess = new Registry();
  collectDefaultMetrics({ register: ofProcess });
  return ofProcess;
}

// prom-client formats and escapes; what it needs of a metric is its name and get().
function asPromMetric(exposed: Exposed): PromMetric {
  return { name: exposed.name, get: () => exposed } as unknown as PromMetric;
}

function exposedOf(name: string, metric: Metric | LabelledMetric): Exposed[] {
  const base = baseName(name, metric.unit);
  const { help } = metric;
  const one = (
    exposedName: string,
    type: 'counter' | 'gauge',
    values: Iterable<[Labels, number]>,
  ): Exposed => ({
    name: exposedName,
    help,
    type,
    aggregator: 'sum',
    values: Array.from(values, ([labels, value]) => ({ value, labels, metricName: exposedName })),
  });
  switch (metric.kind) {
    case 'counter':
      return [one(`${base}_total`, 'counter', [[{}, metric.read()]])];
    case 'gauge':
      return [one(base, 'gauge', [[{}, metric.read()]])];
    case 'bound':
      return [
        one(base, 'gauge', [[{}, metric.read()]]),
        { ...one(`${base}_limit`, 'gauge', [[{}, metric.max]]), help: `Limit of ${base}.` },
      ];
    case 'counters':
      return [one(`${base}_total`, 'counter', Array.from(metric.read(), pair))];
    case 'gauges':
      return [one(base, 'gauge', Array.from(metric.read(), pair))];
    case 'histograms':
      return [
        { name: base, help, type: 'histogram', aggregator: 'sum', values: bucketsOf(base, metric.read()) },
      ];
  }
}

const pair = ({ labels, value }: { labels: Labels; value: number }): [Labels, number] => [labels, value];

function bucketsOf(
  base: string,
  series: ReturnType<Extract<LabelledMetric, { kind: 'histograms' }>['read']>,
): SeriesSample[] {
  const samples: SeriesSample[] = [];
  for (const { labels, histogram } of series) {
    const { bounds, count, sum } = histogram;
    const cumulative = histogram.cumulative();
    for (const [at, bound] of bounds.entries())
      samples.push({
        value: cumulative[at] ?? 0,
        labels: { ...labels, le: bound },
        metricName: `${base}_bucket`,
      });
    samples.push(
      { value: count, labels: { ...labels, le: '+Inf' }, metricName: `${base}_bucket` },
      { value: sum, labels, metricName: `${base}_sum` },
      { value: count, labels, metricName: `${base}_count` },
    );
  }
  return samples;
}
