// Registers what the parts of a gateway measure.

import { MetricsRegistry, type LabelledMetric, type Metric } from '../observability/metrics-registry.ts';
import type { Database } from '../postgres/database.ts';
import type { Caches } from './caches.ts';
import type { DataPlane } from './data-plane.ts';
import type { Deps } from './deps.ts';
import { nodeMetrics } from './node-metrics.ts';
import type { Observation } from './observation.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

/** What every view of a gateway is built from: its metrics, its listeners and its dashboard. */
export interface GatewayCore {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly replication: Replication;
  readonly dataPlane: DataPlane;
  readonly observation: Observation;
}

/** The listeners add theirs when they have started. */
export function buildMetrics(parts: GatewayCore): MetricsRegistry {
  const { storage, caches, replication, dataPlane, observation } = parts;
  const registry = new MetricsRegistry();
  registry.register('http', observation.requests.metrics);
  registry.register('append', [...replication.appender.metrics, ...dataPlane.backPressure.catchUp.metrics]);
  registry.register('acknowledgement', replication.positions.metrics);
  registry.register('log_buffer', replication.logBuffer.metrics);
  registry.register('log', [...observation.log.metrics, ...logMetrics(parts)]);
  registry.register('result_cache', caches.responses.metrics);
  registry.register('record_cache', caches.records.metrics);
  registry.register('coalescing', dataPlane.recordReads.metrics);
  registry.register('reads', [...dataPlane.health.metrics, ...dataPlane.retryBudget.metrics]);
  registry.register('read_verification', dataPlane.readVerification.metrics);
  registry.register('read', dataPlane.reader.metrics);
  registry.register('responses', dataPlane.responseBudget.metrics);
  registry.register('node', nodeMetrics(parts));
  registry.register('apply', applyMetrics(parts));
  registry.register('postgresql', [...storage.postgresProbe.metrics, ...poolMetrics(parts)]);
  registry.register('resources', observation.resources.metrics);
  registry.register('slow', observation.slow.metrics);
  registry.register('events', storage.events.metrics);
  return registry;
}

function gauge(name: string, unit: string, help: string, read: () => number): Metric {
  return { kind: 'gauge', name, unit, help, read };
}

function logMetrics({ storage, replication }: GatewayCore): Metric[] {
  const { leader, logBuffer, retention } = replication;
  const { decisions, sizes } = storage;
  return [
    gauge('head', 'LSN', 'The last entry of the log that this gateway knows of.', () => logBuffer.head),
    gauge('trimmed', 'LSN', 'Entries up to here are no longer in PostgreSQL.', () => retention.trimmed),
    gauge('halted', 'boolean', '1 while the log cannot be continued.', () =>
      leader.halted === null ? 0 : 1,
    ),
    gauge('leading', 'boolean', '1 while this gateway drives the nodes.', () =>
      leader.term === null ? 0 : 1,
    ),
    gauge(
      'epoch',
      'epochs',
      'Generation of the lease that this gateway holds; 0 without one.',
      () => leader.term?.epoch ?? 0,
    ),
    gauge(
      'quarantined',
      'entries',
      'Quarantined entries that the log still holds.',
      () => decisions.openQuarantine.length,
    ),
    gauge(
      'stored',
      'bytes',
      'Size of the log in PostgreSQL when it was last read.',
      () => sizes.known?.logBytes ?? 0,
    ),
    gauge(
      'database',
      'bytes',
      'Size of the database when it was last read.',
      () => sizes.known?.databaseBytes ?? 0,
    ),
    gauge(
      'collections',
      'collections',
      'Collections when they were last counted.',
      () => sizes.known?.collections ?? 0,
    ),
  ];
}

function poolMetrics({ storage: { pools } }: GatewayCore): LabelledMetric[] {
  const each = (name: string, help: string, value: (database: Database) => number): LabelledMetric => ({
    kind: 'gauges',
    name,
    unit: 'connections',
    help,
    read: () => pools.map(([pool, database]) => ({ labels: { pool }, value: value(database) })),
  });
  return [
    each('pool_connections', 'Open connections of a pool.', ({ load }) => load.open),
    each('pool_idle', 'Open connections that are not in use.', ({ load }) => load.idle),
    each('pool_waiting', 'Statements that wait for a connection.', ({ load }) => load.waiting),
    each('pool_connections_limit', 'Limit of the pool.', ({ connectionsMax }) => connectionsMax),
  ];
}

function applyMetrics({ replication }: GatewayCore): (Metric | LabelledMetric)[] {
  const { nodes, trials } = replication;
  const rounds = (name: string, unit: string, help: string, of: 'entries' | 'seconds'): LabelledMetric => ({
    kind: 'histograms',
    name,
    unit,
    help,
    read: () =>
      nodes
        .all()
        .map(({ member, applier }) => ({ labels: { node: member.id }, histogram: applier.rounds[of] })),
  });
  return [
    rounds('round_entries', 'entries', 'Entries of a round.', 'entries'),
    rounds('round_duration', 'seconds', 'From the first call of a round to its checkpoint.', 'seconds'),
    {
      kind: 'counter',
      name: 'failed_attempts',
      unit: 'attempts',
      help: 'Calls that failed to apply an entry.',
      read: () => trials.failures,
    },
  ];
}
