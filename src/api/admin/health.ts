// GET /health…: whether this gateway serves, and in what condition each of its components is. Pure, from what is known.

import { canServe } from '../../nodes/node-state.ts';
import type { PostgresHealth } from '../../history/postgres-probe.ts';
import type { DiskUsage, HealthSource, NodeSource } from './status-source.ts';

export type HealthState = 'healthy' | 'degraded' | 'unhealthy';

export interface ComponentHealth {
  readonly state: HealthState;
  /** Null while it is healthy. */
  readonly reason: string | null;
}

export interface Readiness {
  readonly ready: boolean;
  readonly reason: string | null;
  readonly components: Readonly<Record<'postgresql' | 'nodes' | 'log' | 'memory', ComponentHealth>>;
}

// A probe every 2 s, and a statement that may take 10 s: beyond that PostgreSQL is away, not slow.
const POSTGRES_SILENT_MS = 15_000;
// Where the kernel is about to end the process.
const MEMORY_PERCENT_MAX = 98;
// Every 10 s each node gets a canary; one behind a long call may wait for minutes, which `busy` says.
const CANARY_MS = 60_000;
const LOG_FILLED = 0.9;

const HEALTHY: ComponentHealth = { state: 'healthy', reason: null };
const degraded = (reason: string): ComponentHealth => ({ state: 'degraded', reason });
const unhealthy = (reason: string): ComponentHealth => ({ state: 'unhealthy', reason });

export function readinessOf(source: HealthSource): Readiness {
  const components = {
    postgresql: postgresHealth(source.postgres()),
    nodes: nodesHealth(source.nodes()),
    log: logHealth(source),
    memory: memoryHealth(source),
  };
  // Without PostgreSQL a gateway serves reads (I10), so only reads and memory decide.
  const { reads } = source.serving();
  const { memory } = components;
  const reason = reads ?? (memory.state === 'unhealthy' ? memory.reason : null);
  return { ready: reason === null, reason, components };
}

export interface DeepHealth {
  readonly status: HealthState;
  readonly components: Readonly<Record<string, ComponentHealth>>;
}

/** `disk` null: it could not be read. */
export function deepHealthOf(source: HealthSource, disk: DiskUsage | null): DeepHealth {
  const { reason, components } = readinessOf(source);
  const all: Record<string, ComponentHealth> = {
    ...components,
    canary: canaryHealth(source.nodes()),
    lag: lagHealth(source),
    cpu: cpuHealth(source),
    disk: diskHealth(disk),
  };
  const states = new Set(Object.values(all).map(({ state }) => state));
  const worst = (['unhealthy', 'degraded'] as const).find((state) => states.has(state)) ?? 'healthy';
  return { status: reason === null ? worst : 'unhealthy', components: all };
}

function postgresHealth({ respondedMsAgo, error }: PostgresHealth): ComponentHealth {
  if (respondedMsAgo === null || respondedMsAgo > POSTGRES_SILENT_MS)
    return unhealthy(`PostgreSQL does not respond: no writes until it does (${error ?? 'no response yet'})`);
  return error === null ? HEALTHY : degraded(`the last statement failed: ${error}`);
}

function nodesHealth(nodes: readonly NodeSource[]): ComponentHealth {
  const out = nodes.filter(({ member }) => !canServe(member.state));
  const named = out.map(({ member: { id, state } }) => `${id} is ${state}`).join(', ');
  if (out.length === nodes.length) return unhealthy(`no node serves: ${named}`);
  if (out.length > 0) return degraded(named);
  const suspect = nodes.filter((node) => node.suspects(1).length > 0).map(({ member }) => member.id);
  return suspect.length === 0 ? HEALTHY : degraded(`suspect collections on ${suspect.join(', ')}`);
}

function logHealth(source: HealthSource): ComponentHealth {
  const halted = source.halted();
  if (halted !== null) return unhealthy(halted);
  const { writes } = source.serving();
  return writes === null ? HEALTHY : unhealthy(writes);
}

function memoryHealth({ resources, limits }: HealthSource): ComponentHealth {
  const { memoryPercent } = resources().container;
  const text = `the container uses ${memoryPercent} % of its memory`;
  if (memoryPercent >= MEMORY_PERCENT_MAX) return unhealthy(text);
  return memoryPercent >= limits.memoryPercent ? degraded(text) : HEALTHY;
}

function cpuHealth({ resources, limits }: HealthSource): ComponentHealth {
  const { cpuPercent } = resources().container;
  return cpuPercent < limits.cpuPercent ? HEALTHY : degraded(`the container uses ${cpuPercent} % of its CPU`);
}

function canaryHealth(nodes: readonly NodeSource[]): ComponentHealth {
  const late = nodes.filter(
    ({ member }) => member.state === 'serving' && (member.canaryMsAgo ?? Infinity) > CANARY_MS,
  );
  if (late.length === 0) return HEALTHY;
  const named = late.map(({ member: { id, canaryMsAgo } }) =>
    canaryMsAgo === null ? `none on ${id}` : `${Math.round(canaryMsAgo / 1_000)} s ago on ${id}`,
  );
  return degraded(`last write and read that proved the node: ${named.join(', ')}`);
}

function lagHealth({ nodes, limits, now }: HealthSource): ComponentHealth {
  const at = now();
  const late = nodes()
    .filter(({ member }) => canServe(member.state))
    .map(({ member: { id }, lag }) => ({ id, ms: lag(at).ms ?? 0 }))
    .filter(({ ms }) => ms > limits.lagMs);
  if (late.length === 0) return HEALTHY;
  return degraded(late.map(({ id, ms }) => `${id} is ${Math.round(ms / 1_000)} s behind`).join(', '));
}

function diskHealth(disk: DiskUsage | null): ComponentHealth {
  if (disk === null) return degraded('the size of the log could not be read');
  const { logBytes, logBytesMax } = disk;
  if (logBytes <= LOG_FILLED * logBytesMax) return HEALTHY;
  return degraded(`the log has ${logBytes} bytes of ${logBytesMax} (WAL_RETENTION_BYTES)`);
}
