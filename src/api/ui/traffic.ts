// What goes through this gateway per second, from counters read once a second.

import type { RequestStats } from '../../http/request-stats.ts';
import type { LogStats } from '../../log/log-stats.ts';
import { difference, DURATIONS, quantile, type HistogramState } from '../../observability/histogram.ts';
import type { NodeSource } from '../admin/status-source.ts';

export interface RouteTraffic {
  readonly perSecond: number;
  /** Durations of the last seconds; null without a request. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface Traffic {
  readonly reads: RouteTraffic;
  readonly writes: RouteTraffic;
  readonly failedPerSecond: number;
  readonly appendedPerSecond: number;
  /** By node: calls to it, and entries that it applied. */
  readonly nodes: Readonly<Record<string, { readonly calls: number; readonly applied: number }>>;
}

export interface TrafficCounters {
  readonly requests: Pick<RequestStats, 'durations' | 'totals'>;
  readonly log: Pick<LogStats, 'entries'>;
  readonly nodes: () => readonly NodeSource[];
}

interface TrafficSample {
  readonly atMs: number;
  readonly reads: HistogramState;
  readonly writes: HistogramState;
  readonly failed: number;
  readonly appended: number;
  readonly nodes: ReadonlyMap<string, { readonly calls: number; readonly applied: number }>;
}

const READS: ReadonlySet<string> = new Set(['query', 'get', 'count']);
const WRITES: ReadonlySet<string> = new Set(['add', 'upsert', 'update', 'delete']);
// Percentiles of one second jump; those of half a minute hide what happens.
const SAMPLES_MAX = 6;
// No dashboard was open in between: a rate over that time says nothing about now.
const GAP_MS_MAX = 10_000;

export class TrafficMeter {
  readonly #counters: TrafficCounters;
  #samples: TrafficSample[] = [];

  constructor(counters: TrafficCounters) {
    this.#counters = counters;
  }

  /** The rates since the last call, at `atMs` (monotonic); null at the first, and after a gap. */
  measure(atMs: number): Traffic | null {
    const now = this.#sample(atMs);
    const last = this.#samples.at(-1);
    if (last === undefined || atMs - last.atMs > GAP_MS_MAX || atMs <= last.atMs) {
      this.#samples = [now];
      return null;
    }
    const first = this.#samples[0] ?? last;
    this.#samples = [...this.#samples.slice(1 - SAMPLES_MAX), now];
    const seconds = (atMs - last.atMs) / 1_000;
    const perSecond = (later: number, earlier: number): number => Math.max(0, later - earlier) / seconds;
    const traffic = (of: 'reads' | 'writes'): RouteTraffic => ({
      perSecond: perSecond(now[of].count, last[of].count),
      ...percentilesOf(difference(now[of], first[of])),
    });
    return {
      reads: traffic('reads'),
      writes: traffic('writes'),
      failedPerSecond: perSecond(now.failed, last.failed),
      appendedPerSecond: perSecond(now.appended, last.appended),
      nodes: Object.fromEntries(
        Array.from(now.nodes, ([id, { calls, applied }]) => {
          const before = last.nodes.get(id) ?? { calls, applied };
          return [id, { calls: perSecond(calls, before.calls), applied: perSecond(applied, before.applied) }];
        }),
      ),
    };
  }

  #sample(atMs: number): TrafficSample {
    const { requests, log, nodes } = this.#counters;
    return {
      atMs,
      reads: requests.durations(READS),
      writes: requests.durations(WRITES),
      failed: requests.totals().failed,
      appended: log.entries,
      nodes: new Map(
        nodes().map(({ member, calls, rounds }) => [
          member.id,
          { calls: calls(), applied: rounds().entries.sum },
        ]),
      ),
    };
  }
}

function percentilesOf(state: HistogramState): Omit<RouteTraffic, 'perSecond'> {
  const at = (q: number): number | null => {
    const seconds = quantile(q, DURATIONS, state);
    return seconds === null ? null : seconds * 1_000;
  };
  return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}
