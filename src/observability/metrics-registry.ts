// A registry of what components measure: each registers its own counters, gauges, bounds and histograms, which are read
// on demand.

import { quantile, type Histogram } from './histogram.ts';

/** Values of the labels of one series; each has few possible values. */
export type Labels = Readonly<Record<string, string>>;

interface Measured {
  /** Lower case with underscores, unique within its component. */
  readonly name: string;
  /** One sentence for operators. */
  readonly help: string;
  /** Plural noun, such as bytes, seconds or requests. */
  readonly unit: string;
}

/** A number that only increases while the process runs. */
export interface Counter extends Measured {
  readonly kind: 'counter';
  /** The current value; called for every snapshot, so it must be cheap. */
  readonly read: () => number;
}

/** A number that increases and decreases. */
export interface Gauge extends Measured {
  readonly kind: 'gauge';
  readonly read: () => number;
}

/** A gauge with a limit (I9). */
export interface Bound extends Measured {
  readonly kind: 'bound';
  readonly max: number;
  readonly read: () => number;
}

/** Counters of one name that differ in their labels. */
export interface Counters extends Measured {
  readonly kind: 'counters';
  readonly read: () => Iterable<{ readonly labels: Labels; readonly value: number }>;
}

/** Gauges of one name that differ in their labels. */
export interface Gauges extends Measured {
  readonly kind: 'gauges';
  readonly read: () => Iterable<{ readonly labels: Labels; readonly value: number }>;
}

/** Histograms of one name that differ in their labels. */
export interface Histograms extends Measured {
  readonly kind: 'histograms';
  readonly read: () => Iterable<{ readonly labels: Labels; readonly histogram: Histogram }>;
}

export type Metric = Counter | Gauge | Bound;
export type LabelledMetric = Counters | Gauges | Histograms;

export interface MetricSample {
  readonly value: number;
  readonly unit: string;
  /** Only of a bound. */
  readonly max?: number;
  /** Only of a histogram, whose value is the number of values: their sum, and what half, 95 % and 99 % stay below. */
  readonly sum?: number;
  readonly p50?: number | null;
  readonly p95?: number | null;
  readonly p99?: number | null;
}

const NAME = /^[a-z][a-z0-9_]*$/;

export class MetricsRegistry {
  readonly #metrics = new Map<string, Metric | LabelledMetric>();

  /** Adds metrics under `component_name`. Throws when a name is malformed or taken. */
  register(component: string, metrics: readonly (Metric | LabelledMetric)[]): void {
    for (const metric of metrics) {
      const name = `${component}_${metric.name}`;
      if (!NAME.test(name)) throw new Error(`"${name}" is not a name of a metric`);
      if (this.#metrics.has(name)) throw new Error(`the metric ${name} is registered twice`);
      this.#metrics.set(name, metric);
    }
  }

  /** Every metric by its full name. */
  all(): ReadonlyMap<string, Metric | LabelledMetric> {
    return this.#metrics;
  }

  /** The current value of each metric by full name, followed by its labels if it has any. */
  snapshot(): Record<string, MetricSample> {
    const samples: Record<string, MetricSample> = {};
    for (const [name, metric] of this.#metrics) {
      const { unit } = metric;
      if (metric.kind === 'counters' || metric.kind === 'gauges') {
        for (const { labels, value } of metric.read()) samples[named(name, labels)] = { value, unit };
      } else if (metric.kind === 'histograms') {
        for (const { labels, histogram } of metric.read())
          samples[named(name, labels)] = { ...summary(histogram), unit };
      } else {
        const sample = { value: metric.read(), unit };
        samples[name] = metric.kind === 'bound' ? { ...sample, max: metric.max } : sample;
      }
    }
    return samples;
  }
}

function named(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

function summary(histogram: Histogram): Omit<MetricSample, 'unit'> {
  const state = histogram.state();
  const at = (q: number): number | null => quantile(q, histogram.bounds, state);
  return { value: state.count, sum: state.sum, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
