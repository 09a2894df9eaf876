// A registry of what components measure: each registers its own counters, gauges and bounds, which are read on demand.

interface Measured {
  /** Lower case with underscores, unique within its component. */
  readonly name: string;
  /** One sentence for operators. */
  readonly help: string;
  /** Plural noun, such as bytes or requests. */
  readonly unit: string;
  /** The current value; called for every snapshot, so it must be cheap. */
  readonly read: () => number;
}

/** A number that only increases while the process runs. */
export interface Counter extends Measured {
  readonly kind: 'counter';
}

/** A number that increases and decreases. */
export interface Gauge extends Measured {
  readonly kind: 'gauge';
}

/** A gauge with a limit (I9). */
export interface Bound extends Measured {
  readonly kind: 'bound';
  readonly max: number;
}

export type Metric = Counter | Gauge | Bound;

export interface MetricSample {
  readonly value: number;
  readonly unit: string;
  /** Only of a bound. */
  readonly max?: number;
}

const NAME = /^[a-z][a-z0-9_]*$/;

export class MetricsRegistry {
  readonly #metrics = new Map<string, Metric>();

  /** Adds metrics under `component_name`. Throws when a name is malformed or taken. */
  register(component: string, metrics: readonly Metric[]): void {
    for (const metric of metrics) {
      const name = `${component}_${metric.name}`;
      if (!NAME.test(name)) throw new Error(`"${name}" is not a name of a metric`);
      if (this.#metrics.has(name)) throw new Error(`the metric ${name} is registered twice`);
      this.#metrics.set(name, metric);
    }
  }

  /** The current value of each metric by full name. */
  snapshot(): Record<string, MetricSample> {
    const samples = [...this.#metrics].map(([name, metric]) => {
      const sample = { value: metric.read(), unit: metric.unit };
      return [name, metric.kind === 'bound' ? { ...sample, max: metric.max } : sample] as const;
    });
    return Object.fromEntries(samples);
  }
}
