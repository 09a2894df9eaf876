// What dashboards of older load balancers read in GET /status. Names and units are theirs; the meaning is the closest
// that there is here.

import { canServe } from '../../nodes/node-state.ts';
import type { NodeSource, StatusSource } from './status-source.ts';

export interface DashboardFields {
  readonly service: string;
  readonly healthy_instances: number;
  readonly total_instances: number;
  readonly instances: readonly {
    readonly name: string;
    readonly healthy: boolean;
    /** ISO 8601; null before the first probe. */
    readonly last_health_check: string | null;
    readonly consecutive_failures: number;
    /** Of the probes since the start, such as "99.5%". */
    readonly success_rate: string;
    readonly total_requests: number;
  }[];
  readonly unified_wal: {
    /** Entries that at least one node has not applied. */
    readonly pending_writes: number;
    readonly is_syncing: boolean;
    /** Replicas follow at once; the value of WAL_SYNC_INTERVAL, or 0. */
    readonly sync_interval_seconds: number;
    readonly database: 'PostgreSQL';
  };
  readonly performance_stats: Readonly<Record<string, number>>;
  readonly stats: Readonly<Record<string, number>>;
}

export function dashboardFieldsOf(source: StatusSource): DashboardFields {
  const nodes = source.nodes();
  const now = source.now();
  const pending = Math.max(0, ...nodes.map((node) => node.lag(now).entries));
  const { total, failed } = source.requests.totals();
  const rounds = nodes.reduce((sum, node) => sum + node.rounds().entries.count, 0);
  return {
    service: 'polychrome',
    healthy_instances: nodes.filter(({ member }) => canServe(member.state)).length,
    total_instances: nodes.length,
    instances: nodes.map(instanceOf),
    unified_wal: {
      pending_writes: pending,
      is_syncing: pending > 0,
      sync_interval_seconds: source.syncIntervalSeconds,
      database: 'PostgreSQL',
    },
    performance_stats: {
      batches_processed: rounds,
      sync_cycles: rounds,
      successful_syncs: rounds,
      failed_syncs: source.failedAttempts(),
      memory_pressure_events: 0,
      adaptive_batch_reductions: 0,
    },
    stats: {
      total_requests: total,
      successful_requests: total - failed,
      failed_requests: failed,
      total_wal_writes: source.log.entries,
      successful_syncs: rounds,
      failed_syncs: source.failedAttempts(),
    },
  };
}

function instanceOf({ member, calls }: NodeSource): DashboardFields['instances'][number] {
  const { at, total, failed, consecutiveFailures } = member.probes;
  return {
    name: member.id,
    healthy: canServe(member.state),
    last_health_check: at === null ? null : new Date(at).toISOString(),
    consecutive_failures: consecutiveFailures,
    success_rate: `${(total === 0 ? 100 : (100 * (total - failed)) / total).toFixed(1)}%`,
    total_requests: calls(),
  };
}
