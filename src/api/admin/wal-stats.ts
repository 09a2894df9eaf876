// GET /wal/stats: what went through the log, and what waits. Counts are those of this gateway since its start, except
// where a field says otherwise.

import { quantile, type Histogram } from '../../observability/histogram.ts';
import type { StatusSource } from './status-source.ts';

interface BatchSizes {
  readonly count: number;
  readonly entries: number;
  /** Entries that half, and 95 %, of the batches stay below; null before the first. */
  readonly p50: number | null;
  readonly p95: number | null;
}

export interface WalStats {
  /** `head`: of all gateways since the log began. */
  readonly appended: { readonly entries: number; readonly bytes: number; readonly head: number };
  /** By node: the LSN up to which it has applied everything, and entries applied by this gateway. */
  readonly applied: Readonly<Record<string, { readonly checkpoint: number; readonly entries: number }>>;
  /** By node: entries that it has not applied yet. */
  readonly pending: Readonly<Record<string, number>>;
  /** Quarantined entries that the log still holds. */
  readonly quarantined: number;
  readonly batches: {
    readonly append: BatchSizes;
    readonly rounds: Readonly<Record<string, BatchSizes>>;
  };
  /**
   * `by_id` and `by_filter` were passed through as sent; `refused` got a response of status 400 or above; none is ever
   * converted.
   */
  readonly deletions: {
    readonly by_id: number;
    readonly by_filter: number;
    readonly refused: number;
    readonly converted: 0;
  };
  /** LSN up to which entries are no longer in PostgreSQL. */
  readonly trimmed: number;
  /** Sizes in PostgreSQL; null when they could not be read. */
  readonly bytes: { readonly log: number | null; readonly database: number | null };
}

export async function walStatsOf(source: StatusSource): Promise<WalStats> {
  const now = source.now();
  const nodes = source.nodes();
  const disk = await source.disk().catch(() => null);
  const byNode = <T>(value: (node: (typeof nodes)[number]) => T): Record<string, T> =>
    Object.fromEntries(nodes.map((node) => [node.member.id, value(node)]));
  const { log, requests } = source;
  return {
    appended: { entries: log.entries, bytes: log.bytes, head: source.head() },
    applied: byNode(({ checkpoint, rounds }) => ({ checkpoint, entries: rounds().entries.sum })),
    pending: byNode((node) => node.lag(now).entries),
    quarantined: source.quarantined().length,
    batches: {
      append: sizesOf(source.batches()),
      rounds: byNode(({ rounds }) => sizesOf(rounds().entries)),
    },
    deletions: {
      by_id: log.count('delete'),
      by_filter: log.count('delete_where'),
      refused: requests.count('delete', '4xx') + requests.count('delete', '5xx'),
      converted: 0,
    },
    trimmed: source.trimmed(),
    bytes: { log: disk?.logBytes ?? null, database: disk?.databaseBytes ?? null },
  };
}

function sizesOf(histogram: Histogram): BatchSizes {
  const state = histogram.state();
  const at = (q: number): number | null => quantile(q, histogram.bounds, state);
  return { count: state.count, entries: state.sum, p50: at(0.5), p95: at(0.95) };
}
