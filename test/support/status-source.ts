// What health and status are made from, as a test sets it: three nodes that serve, and nothing wrong.

import type { NodeSource, StatusSource } from '../../src/api/admin/status-source.ts';
import { RequestStats } from '../../src/http/request-stats.ts';
import { LogStats } from '../../src/log/log-stats.ts';
import type { Node } from '../../src/nodes/node.ts';
import { BATCH_SIZES, Histogram } from '../../src/observability/histogram.ts';

export const NOW = 1_700_000_000_000;

export function fakeNode(id: string, member: object = {}, source: Partial<NodeSource> = {}): NodeSource {
  const healthy = {
    id,
    url: `http://${id}:8000`,
    state: 'serving',
    since: NOW,
    reason: null,
    lastError: null,
    probes: { at: NOW, total: 4, failed: 0, consecutiveFailures: 0 },
    canaryMsAgo: 1_000,
  };
  const rounds = { entries: new Histogram(BATCH_SIZES) };
  return {
    member: { ...healthy, ...member } as unknown as Node,
    checkpoint: 7,
    lag: () => ({ entries: 0, ms: 0 }),
    work: () => null,
    failing: () => null,
    verification: () => null,
    suspects: () => [],
    rounds: () => rounds,
    calls: () => 0,
    pid: null,
    ...source,
  };
}

export function fakeStatusSource(parts: Partial<StatusSource> = {}): StatusSource {
  const nodes = ['a', 'b', 'c'].map((id) => fakeNode(id));
  const batches = new Histogram(BATCH_SIZES);
  return {
    gatewayId: 'gateway',
    alerting: false,
    term: () => ({ epoch: 3, clean: true, signal: new AbortController().signal, held: () => true }),
    gateways: () => [],
    halted: () => null,
    serving: () => ({ reads: null, writes: null }),
    primary: () => 'a',
    head: () => 7,
    trimmed: () => 0,
    waiting: () => ({ append: 0, acknowledgement: 0 }),
    rebuilds: () => ({ current: null, healed: 0, failed: 0, waiting: [] }),
    reads: () => ({
      cache: { hits: 0, misses: 0, bytes: 0 },
      records: { hits: 0, misses: 0, projected: 0, preloaded: 0, bytes: 0 },
      coalesced: { reads: 0, calls: 0 },
    }),
    metrics: () => ({}),
    nodes: () => nodes,
    quarantined: () => [],
    differences: () => [],
    requests: new RequestStats(),
    log: new LogStats(),
    batches: () => batches,
    failedAttempts: () => 0,
    capacity: () => null,
    disk: async () => ({ logBytes: 10, logBytesMax: 100, databaseBytes: 20 }),
    postgres: () => ({ respondedMsAgo: 1_000, latencyMs: 1, error: null }),
    resources: () => ({
      process: { memoryBytes: 1, memoryPercent: 10, cpuPercent: 5 },
      container: { memoryBytes: 1, memoryLimitBytes: 10, memoryPercent: 10, cpuCores: 2, cpuPercent: 5 },
    }),
    syncIntervalSeconds: 0,
    limits: { lagMs: 30_000, memoryPercent: 85, cpuPercent: 90 },
    now: () => NOW,
    ...parts,
  };
}
