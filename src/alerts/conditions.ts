// Which alerts hold at this moment. Pure: a function of what is observed.

import type { AlertKind } from './alert-kinds.ts';

/** A condition of an alert that holds. */
export interface Condition {
  readonly kind: AlertKind;
  /** What it is about: the kind and, where there are several, the node or gateway. */
  readonly key: string;
  readonly detail: string;
}

export interface ObservedNode {
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly lagMs: number;
  readonly suspects: number;
}

export interface ObservedCluster {
  readonly nodes: readonly ObservedNode[];
  readonly halted: string | null;
  readonly lagMsMax: number;
}

export interface ObservedGateway {
  readonly id: string;
  /** Why PostgreSQL does not respond; null while it does. */
  readonly postgres: string | null;
  /** Of the last minute. */
  readonly requests: { readonly total: number; readonly failed: number; readonly p95Ms: number | null };
  readonly latencyMsMax: number;
  readonly memoryPercent: number;
  readonly memoryPercentMax: number;
  readonly cpuPercent: number;
  readonly cpuPercentMax: number;
}

// Fewer requests are no rate.
const REQUESTS_MIN = 20;
const FAILED_SHARE_MAX = 0.05;

/** What the leader alone evaluates: its view of the nodes decides. */
export function clusterConditions({ nodes, halted, lagMsMax }: ObservedCluster): Condition[] {
  const found: Condition[] = [];
  for (const { id, state, reason, lagMs, suspects } of nodes) {
    const why = reason === null ? '' : `: ${reason}`;
    if (state === 'down') found.push({ kind: 'node_down', key: `node_down:${id}`, detail: `${id}${why}` });
    if (state === 'fenced' || state === 'needs_rebuild')
      found.push({ kind: 'node_out', key: `node_out:${id}`, detail: `${id} is ${state}${why}` });
    if (suspects > 0)
      found.push({
        kind: 'divergence',
        key: `divergence:${id}`,
        detail: `${suspects} collections of ${id} are suspect`,
      });
    if (isServing(state) && lagMs > lagMsMax)
      found.push({
        kind: 'lag',
        key: `lag:${id}`,
        detail: `${id} is ${Math.round(lagMs / 1_000)} s behind the head`,
      });
  }
  if (halted !== null) found.push({ kind: 'log_halted', key: 'log_halted', detail: halted });
  if (
    nodes.length > 0 &&
    !nodes.some(({ state }) => isServing(state)) &&
    nodes.every(({ state }) => state !== 'joining')
  )
    found.push({
      kind: 'no_node',
      key: 'no_node',
      detail: nodes.map(({ id, state }) => `${id} is ${state}`).join(', '),
    });
  return found;
}

/** Keys that cannot be decided at this moment: a new leader knows no state of a node before it has looked. */
export function undecided({ nodes }: ObservedCluster): (key: string) => boolean {
  const unknown = new Set(nodes.filter(({ state }) => state === 'joining').map(({ id }) => id));
  return (key) => {
    const [, node] = key.split(':');
    return node === undefined ? unknown.size > 0 && key === 'no_node' : unknown.has(node);
  };
}

/** What each gateway evaluates about itself. */
export function gatewayConditions(observed: ObservedGateway): Condition[] {
  const { id, postgres, requests, latencyMsMax, memoryPercent, cpuPercent } = observed;
  const found: Condition[] = [];
  const add = (kind: AlertKind, detail: string): void =>
    void found.push({ kind, key: `${kind}:${id}`, detail });
  if (postgres !== null) add('postgresql_unreachable', postgres);
  const { total, failed, p95Ms } = requests;
  if (total >= REQUESTS_MIN && failed / total > FAILED_SHARE_MAX)
    add('error_rate', `${failed} of ${total} requests of the last minute failed`);
  if (latencyMsMax > 0 && total >= REQUESTS_MIN && p95Ms !== null && p95Ms > latencyMsMax)
    add('latency', `one request in twenty took longer than ${Math.round(p95Ms)} ms`);
  if (memoryPercent >= observed.memoryPercentMax)
    add('memory', `the container uses ${memoryPercent} % of its memory`);
  if (cpuPercent >= observed.cpuPercentMax) add('cpu', `the container uses ${cpuPercent} % of its CPU`);
  return found;
}

const isServing = (state: string): boolean => state === 'serving' || state === 'busy';
