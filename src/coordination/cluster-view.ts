// What reads, writes and health need to know about the cluster. The leader knows it from memory
// (replication/leader-view.ts); a gateway that follows will read it from PostgreSQL.

import type { PolychromeError } from '../errors.ts';
import type { Notifier } from '../util/notifier.ts';

/** What a write waits for beyond being durable. */
export type AckLevel = 'log' | 'primary' | 'quorum' | 'all';

/** An entry that a write waits for. */
export interface EntryRef {
  readonly lsn: number;
  /** The shard whose records it changes; null when it changes no records. */
  readonly shard: string | null;
}

export interface ClusterView {
  /** Why no write can be accepted at this moment; null when it can. */
  writable(): PolychromeError | null;
  /** The node that decides; null before one is chosen. */
  primary(): string | null;
  /** LSN up to which the node has applied everything, or everything of the shard. */
  applied(node: string, shard?: string): number;
  /** LSN up to which the node may have applied entries of the shard, as far as this gateway knows: a call may be in flight. */
  mayHaveApplied(node: string, shard: string): number;
  /** Whether the node's copy of the shard is suspect: nothing is served from it. */
  isSuspect(node: string, shard: string): boolean;
  /**
   * Resolves once the level is reached for the entry, or `signal` aborts. Call it before any node can apply the entry.
   */
  reached(entry: EntryRef, level: AckLevel, signal: AbortSignal): Promise<void>;
  /** Notified when a node has applied more. */
  readonly changed: Notifier;
}
