// Registers what the parts of a gateway measure.

import { MetricsRegistry } from '../observability/metrics-registry.ts';
import type { Caches } from './caches.ts';
import type { DataPlane } from './data-plane.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

interface MeasuredParts {
  readonly storage: Storage;
  readonly caches: Caches;
  readonly replication: Replication;
  readonly dataPlane: DataPlane;
}

/** The listeners add theirs when they have started. */
export function buildMetrics({ storage, caches, replication, dataPlane }: MeasuredParts): MetricsRegistry {
  const registry = new MetricsRegistry();
  registry.register('events', storage.events.metrics);
  registry.register('append', replication.appender.metrics);
  registry.register('acknowledgement', replication.positions.metrics);
  registry.register('log_buffer', replication.logBuffer.metrics);
  registry.register('result_cache', caches.responses.metrics);
  registry.register('record_cache', caches.records.metrics);
  registry.register('coalescing', dataPlane.recordReads.metrics);
  registry.register('reads', [...dataPlane.health.metrics, ...dataPlane.retryBudget.metrics]);
  registry.register('read_verification', dataPlane.readVerification.metrics);
  registry.register('responses', dataPlane.responseBudget.metrics);
  return registry;
}
