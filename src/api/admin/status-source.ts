// What health, status and /wal/… are made from: the narrow view that the composition root provides.

import type { SuspectCollection } from '../../catalog/catalog.ts';
import type { Term } from '../../coordination/term.ts';
import type { RequestStats } from '../../http/request-stats.ts';
import type { LogStats } from '../../log/log-stats.ts';
import type { Node } from '../../nodes/node.ts';
import type { Histogram } from '../../observability/histogram.ts';
import type { MetricSample } from '../../observability/metrics-registry.ts';
import type { ResourceUsage } from '../../observability/resources.ts';
import type { CapacityStatus } from '../../history/capacity.ts';
import type { PostgresHealth } from '../../history/postgres-probe.ts';

/** Why this gateway refuses requests at this moment; null: it does not. */
export interface Serving {
  readonly reads: string | null;
  readonly writes: string | null;
}

export interface HealthSource {
  readonly serving: () => Serving;
  readonly halted: () => string | null;
  readonly nodes: () => readonly NodeSource[];
  readonly postgres: () => PostgresHealth;
  readonly resources: () => ResourceUsage;
  readonly limits: HealthLimits;
  readonly now: () => number;
}

/** From where on a component counts as degraded. */
export interface HealthLimits {
  /** Of a node that serves, behind the head. */
  readonly lagMs: number;
  /** Of the container's memory. */
  readonly memoryPercent: number;
  /** Of the container's CPU. */
  readonly cpuPercent: number;
}

/** How much room the log has. */
export interface DiskUsage {
  readonly logBytes: number;
  readonly logBytesMax: number;
  readonly databaseBytes: number;
}

/** Suspect copies that are rebuilt while this gateway leads, counted since its start. */
export interface RebuildStatus {
  /** The rebuild in progress; null when there is none. */
  readonly current: {
    readonly node: string;
    readonly collection: string;
    readonly donor: string;
    readonly phase: string;
    /** Of `total`, in records, or LSNs while catching up. */
    readonly done: number;
    readonly total: number;
    /** Wall clock, ms since the epoch. */
    readonly since: number;
  } | null;
  readonly healed: number;
  readonly failed: number;
  /** Copies that could not be rebuilt yet, and why. */
  readonly waiting: readonly { node: string; shard: string; failures: number; reason: string }[];
}

export interface StatusSource extends HealthSource {
  readonly gatewayId: string;
  /** Whether this gateway sends alerts to a webhook. */
  readonly alerting: boolean;
  readonly term: () => Term | null;
  /** The registered gateways, this one included, in the order in which they started. */
  readonly gateways: () => readonly GatewayStatus[];
  readonly primary: () => string | null;
  /** LSN of the last durable entry this gateway knows of. */
  readonly head: () => number;
  readonly trimmed: () => number;
  /** Writes that wait to be appended, and writes that wait for their level. */
  readonly waiting: () => { append: number; acknowledgement: number };
  readonly reads: () => ReadCounts;
  readonly rebuilds: () => RebuildStatus;
  readonly metrics: () => Readonly<Record<string, MetricSample>>;
  /** LSNs of entries that no node applies. */
  readonly quarantined: () => readonly number[];
  /** In which respects NODES differs from the list of nodes. */
  readonly differences: () => readonly string[];
  readonly requests: Pick<RequestStats, 'totals' | 'count'>;
  readonly log: Pick<LogStats, 'entries' | 'bytes' | 'count'>;
  /** Entries of each append. */
  readonly batches: () => Histogram;
  /** Calls that failed to apply an entry, since the start. */
  readonly failedAttempts: () => number;
  readonly disk: () => Promise<DiskUsage>;
  /** Null before the first sizes were stored. */
  readonly capacity: () => CapacityStatus | null;
  readonly syncIntervalSeconds: number;
}

/** A gateway that shares the log with this one. */
export interface GatewayStatus {
  readonly id: string;
  readonly address: string;
  readonly version: string;
  readonly leads: boolean;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Time since it was seen last. */
  readonly seenMsAgo: number;
  /** Nodes that respond to its probes. */
  readonly nodesReached: number;
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
  readonly failing: () => FailingEntryStatus | null;
  /** How far the verification of its content has come; null when none is in progress. */
  readonly verification: () => VerificationStatus | null;
  /** At most `max`. */
  readonly suspects: (max: number) => readonly SuspectCollection[];
  /** Sizes and durations of its rounds. */
  readonly rounds: () => { readonly entries: Histogram };
  /** Calls to it since the start. */
  readonly calls: () => number;
  readonly pid: number | null;
}

export interface WorkStatus {
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

export interface FailingEntryStatus {
  readonly lsn: number;
  /** Shard that it changes; null when the entry is not in memory. */
  readonly target: string | null;
  readonly attempts: number;
  /** Since the first attempt. */
  readonly ms: number;
  /** The result of the last attempt. */
  readonly error: string;
}

export interface VerificationStatus {
  /** Shards to verify, and those that are. */
  readonly shards: number;
  readonly verified: number;
  readonly records: number;
  readonly bytes: number;
  /** Wall clock, ms since the epoch. */
  readonly since: number;
}
