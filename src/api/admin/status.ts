// The content of GET /health, /status and /wal/status.

import type { SuspectCollection } from '../../catalog/catalog.ts';
import type { Node } from '../../nodes/node.ts';
import { canServe } from '../../nodes/node-state.ts';
import type { Term } from '../../coordination/term.ts';
import type { MetricSample } from '../../observability/metrics-registry.ts';
import { maskCredentials } from '../../util/mask-credentials.ts';

export interface StatusSource {
  readonly gatewayId: string;
  readonly term: () => Term | null;
  readonly halted: () => string | null;
  readonly primary: () => string | null;
  /** LSN of the last durable entry this gateway knows of. */
  readonly head: () => number;
  readonly trimmed: () => number;
  /** Writes that wait to be appended, and writes that wait for their level. */
  readonly waiting: () => { append: number; acknowledgement: number };
  readonly reads: () => ReadCounts;
  readonly metrics: () => Readonly<Record<string, MetricSample>>;
  readonly nodes: () => readonly NodeSource[];
  /** LSNs of entries that no node applies. */
  readonly quarantined: () => readonly number[];
  readonly now: () => number;
}

/** What coalescing and the result cache gain, counted since the start. */
export interface ReadCounts {
  readonly cache: { readonly hits: number; readonly misses: number; readonly bytes: number };
  /**
   * Rows of queries whose documents and metadatas were cached, or not; `projected`: queries completed from the cache;
   * `preloaded`: times that a collection was preloaded.
   */
  readonly records: {
    readonly hits: number;
    readonly misses: number;
    readonly projected: number;
    readonly preloaded: number;
    readonly bytes: number;
  };
  /** Reads that may share a call, and the calls they went in. */
  readonly coalesced: { readonly reads: number; readonly calls: number };
}

export interface NodeSource {
  readonly member: Node;
  readonly checkpoint: number;
  readonly lag: (now: number) => { entries: number; ms: number | null };
  /** The call in flight; null when there is none. */
  readonly work: () => WorkStatus | null;
  /** The entry that keeps failing on the node; null when there is none. */
  readonly failing: () => FailingEntry | null;
  /** How far the verification of its content has come; null when none is in progress. */
  readonly verification: () => VerificationStatus | null;
  /** At most `max`. */
  readonly suspects: (max: number) => readonly SuspectCollection[];
  readonly pid: number | undefined;
}

interface WorkStatus {
  /** LSNs of the first and the last entry in the call; null for a call without entries. */
  readonly from: number | null;
  readonly to: number | null;
  /** Estimated size, in seconds of a stock server. */
  readonly work: number;
  /** Time in flight. */
  readonly ms: number;
  /** Estimated remaining time. */
  readonly remainingMs: number;
}

interface VerificationStatus {
  /** Shards to verify, and those that are. */
  readonly shards: number;
  readonly verified: number;
  readonly records: number;
  readonly bytes: number;
  /** Wall clock, ms since the epoch. */
  readonly since: number;
}

interface FailingEntry {
  readonly lsn: number;
  /** Shard that it changes; null when the entry is not in memory. */
  readonly target: string | null;
  readonly attempts: number;
  /** Since the first attempt. */
  readonly ms: number;
  /** The result of the last attempt. */
  readonly error: string;
}

export interface Status {
  readonly leader: string | null;
  readonly epoch: number | null;
  readonly head: number;
  /** Entries that at least one node has not applied. */
  readonly pending: number;
  readonly halted: string | null;
  /** LSNs of entries that healthy nodes failed alike and no node applies: the last LISTED_MAX of them. */
  readonly quarantined: readonly number[];
  readonly reads: ReadCounts;
  readonly nodes: readonly NodeStatus[];
}

interface NodeStatus {
  readonly id: string;
  readonly url: string;
  readonly role: 'primary' | 'replica';
  readonly state: string;
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
  readonly failing: FailingEntry | null;
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
    return pid === undefined ? status : { ...status, pid };
  });
  return {
    leader: term === null ? null : source.gatewayId,
    epoch: term?.epoch ?? null,
    head: source.head(),
    pending: Math.max(0, ...nodes.map((node) => node.lag.entries)),
    halted: source.halted(),
    quarantined: source.quarantined().slice(-LISTED_MAX),
    reads: source.reads(),
    nodes,
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

/** Whether this gateway should get traffic: it leads, and a node serves reads. */
export function healthOf(source: StatusSource): { healthy: boolean; reason: string | null } {
  if (source.halted() !== null) return { healthy: false, reason: source.halted() };
  if (source.term() === null) return { healthy: false, reason: 'this gateway does not lead' };
  if (!source.nodes().some(({ member }) => canServe(member.state))) {
    return { healthy: false, reason: 'no node serves' };
  }
  const primary = source.nodes().find(({ member }) => member.id === source.primary());
  if (primary === undefined) return { healthy: false, reason: 'no primary is chosen yet' };
  return { healthy: true, reason: null };
}
