// What a gateway observes of itself: its requests, its log, its process and container.

import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { RequestStats } from '../http/request-stats.ts';
import { LogStats } from '../log/log-stats.ts';
import { containerUsage } from '../observability/container.ts';
import { Resources, type ResourceProbe } from '../observability/resources.ts';
import { SlowRequests } from '../observability/slow-requests.ts';
import type { Config } from '../config/config.ts';
import type { Deps } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Storage } from './storage.ts';

export interface Observation {
  readonly requests: RequestStats;
  readonly log: LogStats;
  readonly resources: Resources;
  readonly slow: SlowRequests;
}

const MICROSECONDS = 1_000_000;

export function buildObservation(
  config: Config,
  { deps, storage }: { deps: Deps; storage: Storage },
  life: Lifecycle,
): Observation {
  const { postgresProbe, slowRequests } = storage;
  const { clock, logger } = deps;
  const resources = new Resources(resourceProbe, clock);
  const slow = new SlowRequests({
    store: slowRequests,
    thresholdMs: config.SLOW_QUERY_MS,
    clock,
    onError: (error) => logger.warn({ error: String(error) }, 'slow requests not stored'),
  });
  const stopping = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  life.add({
    name: 'observation',
    start: async () => {
      running = Promise.all([resources.run(stopping.signal), postgresProbe.run(stopping.signal)]);
    },
    stop: async () => {
      stopping.abort();
      await running;
      await slow.stop();
    },
  });
  return { requests: new RequestStats(), log: new LogStats(), resources, slow };
}

const resourceProbe: ResourceProbe = {
  memoryBytes: () => process.memoryUsage.rss(),
  cpuSeconds: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / MICROSECONDS;
  },
  container: () => containerUsage(textOf),
  machine: { memoryBytes: totalmem(), cores: availableParallelism() },
};

export function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
