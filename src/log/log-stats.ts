// What this gateway has appended to the log since it started, by kind.

import type { LabelledMetric, Metric } from '../observability/metrics-registry.ts';
import type { EntryListener } from './entry-publisher.ts';
import type { Entry } from './entry.ts';

export class LogStats implements EntryListener {
  readonly #byKind = new Map<string, number>();
  #entries = 0;
  #bytes = 0;

  committed(entries: readonly Entry[]): void {
    for (const { kind, body } of entries) {
      this.#byKind.set(kind, this.count(kind) + 1);
      this.#bytes += body.length;
    }
    this.#entries += entries.length;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Of bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  count(kind: string): number {
    return this.#byKind.get(kind) ?? 0;
  }

  get metrics(): readonly (Metric | LabelledMetric)[] {
    return [
      {
        kind: 'counters',
        name: 'entries',
        help: 'Entries appended by this gateway, by kind.',
        unit: 'entries',
        read: () => Array.from(this.#byKind, ([kind, value]) => ({ labels: { kind }, value })),
      },
      {
        kind: 'counter',
        name: 'entry_bytes',
        help: 'Bytes of the bodies of these entries.',
        unit: 'bytes',
        read: () => this.#bytes,
      },
    ];
  }
}
