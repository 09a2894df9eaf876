// Trims the log. An entry goes once every node that follows has applied it and it is older than the retention or beyond
// the bytes allowed: a node that is away has that long to come back, and is rebuilt after that.

import type { Term } from '../coordination/term.ts';
import type { Node } from '../nodes/node.ts';
import { follows } from '../nodes/node-state.ts';
import type { Partition } from '../log/postgres-log.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** A claim on the log, of a node or of a copy in progress. */
export interface Claim {
  /**
   * Every entry after this LSN is needed: to apply it, to verify the node after a crash, or to complete the copy.
   */
  readonly after: number;
  /** The node follows the log, or did so a moment ago. */
  readonly following: boolean;
}

export interface RetentionLimits {
  readonly retentionMs: number;
  readonly bytesMax: number;
}

/**
 * The LSN up to which the log may be trimmed, in whole partitions (oldest first); null when it may not. While no node
 * follows, nothing is trimmed: the log may then be the only complete copy.
 */
export function trimTarget(
  partitions: readonly Pick<Partition, 'last' | 'bytes' | 'ageMs'>[],
  claims: readonly Claim[],
  { retentionMs, bytesMax }: RetentionLimits,
): number | null {
  const following = claims.filter((claim) => claim.following);
  if (following.length === 0) return null;
  const needed = Math.min(...following.map((claim) => claim.after));
  let bytesLeft = partitions.reduce((sum, { bytes }) => sum + bytes, 0);
  let target: number | null = null;
  for (const { last, bytes, ageMs } of partitions) {
    const isExpired = ageMs !== null && (ageMs > retentionMs || bytesLeft > bytesMax);
    if (!isExpired || last > needed) break;
    target = last;
    bytesLeft -= bytes;
  }
  return target;
}

/** The recorded progress of a node. */
interface NodeProgress {
  readonly id: string;
  readonly checkpoint: number;
  readonly markerLSN: number;
}

export interface RetentionOptions extends RetentionLimits {
  readonly log: {
    head(): Promise<{ readonly trimmed: number }>;
    partitions(): Promise<Partition[]>;
    trim(upTo: number, epoch: number): Promise<number>;
    forgetBatches(olderThanMs: number): Promise<void>;
  };
  readonly nodeStore: { all(): Promise<readonly NodeProgress[]> };
  readonly nodes: () => readonly Node[];
  readonly forgetDeleted: () => Promise<void>;
  /** Why nothing may be trimmed; null when it may. */
  readonly halted: () => string | null;
  /** LSN after which a copy in progress needs the log; null when none does. */
  readonly claimed: () => number | null;
  /** LSN up to which the log was gone when this gateway started. */
  readonly trimmed: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A pass costs a few small queries. A tenth of the retention, so that it is met to a tenth; at most a minute.
const INTERVAL_MS_MAX = 60_000;
const INTERVAL_MS_MIN = 1_000;
// A node that restarts, or flaps, or was not reached yet by a gateway just started, keeps its claim meanwhile.
const ABSENT_MS_MAX = 600_000;
// Four times what the appender may take to ask again (log/appender.ts).
const BATCHES_RETAINED_MS = 3_600_000;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #followedAt = new Map<string, number>();
  #trimmed: number;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#trimmed = options.trimmed;
  }

  /** LSN up to which the log is gone, as of the last pass. */
  get trimmed(): number {
    return this.#trimmed;
  }

  /** Trims the log until the term is over. Never throws. */
  async run(term: Term): Promise<void> {
    const { clock, logger, halted, nodes, retentionMs } = this.#options;
    const intervalMs = Math.min(INTERVAL_MS_MAX, Math.max(INTERVAL_MS_MIN, retentionMs / 10));
    for (const { id } of nodes()) this.#followedAt.set(id, clock.monotonic());
    while (!term.signal.aborted) {
      await sleep(clock, intervalMs, term.signal);
      if (!term.held() || halted() !== null) continue;
      try {
        await this.#pass(term);
      } catch (error) {
        logger.warn({ error: String(error) }, 'log not trimmed');
      }
    }
  }

  async #pass(term: Term): Promise<void> {
    const { log, nodeStore, forgetDeleted, logger } = this.#options;
    const progress = await nodeStore.all();
    const target = trimTarget(await log.partitions(), this.#claims(progress), this.#options);
    if (target !== null && term.held()) {
      this.#trimmed = await log.trim(target, term.epoch);
      logger.info({ trimmed: this.#trimmed }, 'log trimmed');
    } else {
      this.#trimmed = (await log.head()).trimmed;
    }
    this.#excludeLeftBehind(progress);
    await log.forgetBatches(BATCHES_RETAINED_MS);
    await forgetDeleted();
  }

  #claims(progress: readonly NodeProgress[]): Claim[] {
    const { nodes, clock, retentionMs } = this.#options;
    const now = clock.monotonic();
    const absentMsMax = Math.min(ABSENT_MS_MAX, retentionMs);
    for (const { id, state } of nodes()) if (follows(state)) this.#followedAt.set(id, now);
    const lost = new Set(nodes().flatMap(({ id, state }) => (state === 'needs_rebuild' ? [id] : [])));
    const claimed = this.#options.claimed();
    const copies = claimed === null ? [] : [{ after: claimed, following: true }];
    const nodeClaims = progress.map(({ id, checkpoint, markerLSN }) => {
      const followedAt = this.#followedAt.get(id);
      const isFollowing = followedAt !== undefined && now - followedAt <= absentMsMax;
      return { after: Math.min(checkpoint, markerLSN), following: isFollowing && !lost.has(id) };
    });
    return [...nodeClaims, ...copies];
  }

  /** A node that is down gets its state here; one that is back, from its first read of the log. */
  #excludeLeftBehind(progress: readonly NodeProgress[]): void {
    for (const { id, checkpoint } of progress) {
      if (checkpoint >= this.#trimmed) continue;
      const reason = `the log begins at LSN ${this.#trimmed + 1}, and the node had applied LSN ${checkpoint}`;
      this.#options
        .nodes()
        .find((node) => node.id === id)
        ?.on('lost_content', reason);
    }
  }
}
