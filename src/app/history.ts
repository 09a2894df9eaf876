// The history of the cluster: what this gateway records of itself and, while it leads, of the nodes.

import type { Config } from '../config/config.ts';
import { indexBytesOf } from '../history/capacity.ts';
import { CapacityReport } from '../history/capacity-report.ts';
import type { DataSizes } from '../history/data-sizes.ts';
import type { HistoryObservation, ObservedHistory } from '../history/history-point.ts';
import { HistoryRecorder } from '../history/history-recorder.ts';
import { isClientRoute } from '../http/request-stats.ts';
import { canServe } from '../nodes/node-state.ts';
import { RecordCounts } from '../nodes/record-counts.ts';
import type { MetricsRegistry } from '../observability/metrics-registry.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Observation } from './observation.ts';
import type { Replication } from './replication.ts';
import { onlyShard } from '../catalog/only-shard.ts';
import type { Storage } from './storage.ts';

interface HistoryParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly replication: Replication;
  readonly observation: Observation;
  readonly metrics: MetricsRegistry;
}

const READS: ReadonlySet<string> = new Set(['query', 'get', 'count']);
const WRITES: ReadonlySet<string> = new Set(['add', 'upsert', 'update', 'delete']);
// PostgreSQL looks at every file of the database to add up its size.
const SIZES_MS = 60_000;
const SUSPECTS_MAX = 1_000;

export interface History {
  readonly capacity: CapacityReport;
}

export function buildHistory(config: Config, parts: HistoryParts, life: Lifecycle): History {
  const { deps, storage, metrics } = parts;
  const { clock, logger, gatewayId } = deps;
  const onError = (error: unknown): void => logger.warn({ error: String(error) }, 'history not stored');
  const records = buildRecordCounts(parts);
  const capacity = buildCapacityReport(config, parts);
  const recorder = new HistoryRecorder({
    gateway: gatewayId,
    observe: () => observedHistory(parts),
    sizes: sizesOf(parts),
    records: () => records.totals,
    store: storage.history,
    retention: {
      health: config.HEALTH_METRICS_RETENTION_DAYS,
      performance: config.PERFORMANCE_METRICS_RETENTION_DAYS,
    },
    clock,
    onError,
  });
  metrics.register('history', recorder.metrics);
  const stopping = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  life.add({
    name: 'history',
    start: async () => {
      running = Promise.all([recorder, records, capacity].map((part) => part.run(stopping.signal)));
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  });
  return { capacity };
}

function buildCapacityReport(config: Config, { deps, storage }: HistoryParts): CapacityReport {
  const { clock, logger } = deps;
  return new CapacityReport({
    store: storage.history,
    limits: {
      nodeMemoryBytes: config.NODE_MEMORY_BYTES ?? null,
      nodeDiskBytes: config.NODE_DISK_BYTES ?? null,
      databaseBytes: config.DATABASE_DISK_BYTES ?? null,
      logBytes: config.WAL_RETENTION_BYTES,
    },
    clock,
    onError: (error) => logger.warn({ error: String(error) }, 'capacity not known'),
  });
}

function buildRecordCounts({ deps, storage, replication }: HistoryParts): RecordCounts {
  const { catalog } = storage;
  const { nodes, leader, positions } = replication;
  return new RecordCounts({
    isLeading: () => leader.term !== null,
    shards: () => catalog.shards(),
    copyOf: (shard) => {
      const collection = catalog.collectionOfShard(shard);
      const able = nodes
        .all()
        .filter(({ member }) => canServe(member.state) && catalog.isHealthy(member.id, shard));
      // The primary has the writes to do.
      const node = able.find(({ member }) => member.id !== positions.primary) ?? able[0];
      const copy = node === undefined ? null : catalog.physical(node.member.id, shard);
      if (node === undefined || collection === null || copy === null) return null;
      const { tenant, database } = collection;
      const location = { tenant, database, physical: copy.physical };
      return { location, client: node.client, dimension: onlyShard(collection).dimension };
    },
    indexBytes: indexBytesOf,
    clock: deps.clock,
  });
}

function sizesOf({ deps: { clock }, storage: { sizes } }: HistoryParts): () => DataSizes | null {
  let askedAt = -Infinity;
  return () => {
    if (clock.monotonic() - askedAt >= SIZES_MS) {
      askedAt = clock.monotonic();
      sizes.read().catch(() => undefined);
    }
    return sizes.known;
  };
}

function observedHistory({ deps, storage, replication, observation }: HistoryParts): HistoryObservation {
  const { requests, resources } = observation;
  const { leader } = replication;
  const { total, failed } = requests.totals(isClientRoute);
  const { memoryBytes, memoryPercent, cpuPercent } = resources.usage.container;
  return {
    requests: total,
    failed,
    reads: requests.durations(READS),
    writes: requests.durations(WRITES),
    memoryBytes,
    memoryPercent,
    cpuPercent,
    cluster: leader.term === null ? null : observedNodes({ deps, storage, replication }),
  };
}

function observedNodes({
  deps,
  storage,
  replication,
}: Pick<HistoryParts, 'deps' | 'storage' | 'replication'>): ObservedHistory {
  const { nodes, logBuffer } = replication;
  const now = deps.clock.now();
  return {
    head: logBuffer.head,
    nodes: nodes.all().map(({ member: { id, state }, applier, calls }) => {
      const { entries, ms } = applier.lag(now);
      return {
        node: id,
        serves: canServe(state),
        lagEntries: entries,
        lagMs: ms ?? 0,
        suspects: storage.catalog.suspects(id, SUSPECTS_MAX).length,
        calls: calls.responses(),
      };
    }),
  };
}
