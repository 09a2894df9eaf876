// The content of GET /status and /wal/status.

import { generationOf } from '../../coordination/term.ts';
import type { CapacityStatus } from '../../history/capacity.ts';
import type { SuspectCollection } from '../../catalog/catalog.ts';
import type { MetricSample } from '../../observability/metrics-registry.ts';
import { maskCredentials } from '../../util/mask-credentials.ts';
import { dashboardFieldsOf, type DashboardFields } from './dashboards.ts';
import type {
  FailingEntryStatus,
  GatewayStatus,
  ReadCounts,
  RebuildStatus,
  StatusSource,
  VerificationStatus,
  WorkStatus,
} from './status-source.ts';

export interface Status extends DashboardFields {
  readonly leader: string | null;
  readonly epoch: number | null;
  /** All gateways that serve this cluster. */
  readonly gateways: readonly GatewayStatus[];
  readonly head: number;
  /** Entries that at least one node has not applied. */
  readonly pending: number;
  readonly halted: string | null;
  /** LSNs of entries that healthy nodes failed alike and no node applies: the last LISTED_MAX of them. */
  readonly quarantined: readonly number[];
  /** Whether this gateway sends alerts to a webhook. */
  readonly alerting: boolean;
  /** In which respects NODES of this gateway differs from the nodes of the cluster, one sentence each. */
  readonly warnings: readonly string[];
  readonly reads: ReadCounts;
  readonly rebuilds: RebuildStatus;
  /** Size of the data, its growth, and when a limit is reached; null before the first sizes were stored. */
  readonly capacity: CapacityStatus | null;
  readonly nodes: readonly NodeStatus[];
}

interface NodeStatus {
  readonly id: string;
  readonly url: string;
  readonly role: 'primary' | 'replica';
  readonly state: string;
  /** Whether it counts for the levels quorum and all. */
  readonly counts: boolean;
  /** Why it is in this state; null while it serves. */
  readonly reason: string | null;
  /** Since when it is in this state, ISO 8601. */
  readonly since: string;
  readonly checkpoint: number;
  readonly lag: { readonly entries: number; readonly ms: number | null };
  readonly lastError: string | null;
  /** The call it is working on; null when there is none. */
  readonly work: WorkStatus | null;
  /** The entry that keeps failing on it, from the second attempt on; null when there is none. */
  readonly failing: FailingEntryStatus | null;
  /** How far the verification of its content has come, before it serves; null when none is in progress. */
  readonly verification: VerificationStatus | null;
  /** Collections whose copies on the node are suspect and not used: the first LISTED_MAX of them. */
  readonly suspects: readonly SuspectCollection[];
  readonly pid?: number;
}

// More would not tell an operator more.
const LISTED_MAX = 100;

const masked = (text: string | null): string | null => (text === null ? null : maskCredentials(text));

export function statusOf(source: StatusSource): Status {
  const now = source.now();
  const term = source.term();
  const primary = source.primary();
  const nodes = source.nodes().map((node): NodeStatus => {
    const { member, checkpoint, pid } = node;
    const status: NodeStatus = {
      id: member.id,
      url: maskCredentials(member.url),
      role: member.id === primary ? 'primary' : 'replica',
      state: member.state,
      counts: member.counts,
      reason: masked(member.reason),
      since: new Date(member.since).toISOString(),
      checkpoint,
      lag: node.lag(now),
      lastError: masked(member.lastError),
      work: node.work(),
      failing: node.failing(),
      verification: node.verification(),
      suspects: node.suspects(LISTED_MAX),
    };
    return pid === null ? status : { ...status, pid };
  });
  return {
    leader: term === null ? null : source.gatewayId,
    epoch: term === null ? null : generationOf(term.epoch),
    gateways: source.gateways(),
    head: source.head(),
    pending: Math.max(0, ...nodes.map((node) => node.lag.entries)),
    halted: source.halted(),
    quarantined: source.quarantined().slice(-LISTED_MAX),
    alerting: source.alerting,
    warnings: source.differences(),
    reads: source.reads(),
    rebuilds: source.rebuilds(),
    capacity: source.capacity(),
    nodes,
    ...dashboardFieldsOf(source),
  };
}

export interface WalStatus {
  readonly head: number;
  /** Entries up to here are no longer in PostgreSQL. */
  readonly trimmed: number;
  readonly waiting: { readonly append: number; readonly acknowledgement: number };
  readonly checkpoints: Readonly<Record<string, number>>;
  /** Counters, gauges and bounds of this gateway. */
  readonly metrics: Readonly<Record<string, MetricSample>>;
}

export function walStatusOf(source: StatusSource): WalStatus {
  const checkpoints = source.nodes().map(({ member, checkpoint }) => [member.id, checkpoint] as const);
  return {
    head: source.head(),
    trimmed: source.trimmed(),
    waiting: source.waiting(),
    checkpoints: Object.fromEntries(checkpoints),
    metrics: source.metrics(),
  };
}
