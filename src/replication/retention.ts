// How much of the log is kept. An entry goes when every node that follows the log has applied it, and it is either
// older than the retention or beyond the bytes kept; so a node that is away has that long to come back, and is rebuilt
// when it needs more. The log goes in whole partitions.

import type { Term } from '../coordination/term.ts';
import type { Member } from '../nodes/node.ts';
import { follows } from '../nodes/node-state.ts';
import type { Partition } from '../log/postgres-log.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** A node's claim on the log. */
export interface Claim {
  /** It needs what comes after this LSN: has still to apply it, or is verified by it after a crash. */
  readonly after: number;
  /** Whether it works, or did so a moment ago. */
  readonly following: boolean;
}

export interface RetentionLimits {
  readonly retentionMs: number;
  readonly bytesMax: number;
}

/**
 * The LSN up to which the log may go, or null. While no node follows, nothing goes: the log may then be the only
 * place that has it all. `partitions`: oldest first.
 */
export function trimTarget(
  partitions: readonly Pick<Partition, 'last' | 'bytes' | 'ageMs'>[],
  claims: readonly Claim[],
  { retentionMs, bytesMax }: RetentionLimits,
): number | null {
  const following = claims.filter((claim) => claim.following);
  if (following.length === 0) return null;
  const needed = Math.min(...following.map((claim) => claim.after));
  let kept = partitions.reduce((sum, { bytes }) => sum + bytes, 0);
  let target: number | null = null;
  for (const { last, bytes, ageMs } of partitions) {
    const spare = ageMs !== null && (ageMs > retentionMs || kept > bytesMax);
    if (!spare || last > needed) break;
    target = last;
    kept -= bytes;
  }
  return target;
}

/** How far a node is, as PostgreSQL has it. */
interface NodePosition {
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
  readonly nodes: { all(): Promise<readonly NodePosition[]> };
  readonly members: readonly Member[];
  readonly forgetDeleted: () => Promise<void>;
  /** Why the log must be left as it is; null when it need not. */
  readonly halted: () => string | null;
  /** What the log had lost when this gateway started. */
  readonly trimmed: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A look costs a few small queries. A tenth of the retention, so that it is met to a tenth; at most a minute.
const LOOK_MS_MAX = 60_000;
const LOOK_MS_MIN = 1_000;
// A node that restarts, or flaps, or has not been met yet by a gateway just started, keeps its claim meanwhile.
const ABSENT_MS_MAX = 600_000;
// Four times what the appender may take to ask again (log/appender.ts).
const BATCHES_KEPT_MS = 3_600_000;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #followedAt = new Map<string, number>();
  #trimmed: number;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#trimmed = options.trimmed;
  }

  /** LSN up to which the log is gone, as of the last look. */
  get trimmed(): number {
    return this.#trimmed;
  }

  /** Looks after the log until the term is over. Never throws. */
  async run(term: Term): Promise<void> {
    const { clock, logger, halted, members, retentionMs } = this.#options;
    const lookMs = Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, retentionMs / 10));
    for (const { id } of members) this.#followedAt.set(id, clock.monotonic());
    while (!term.signal.aborted) {
      await sleep(clock, lookMs, term.signal);
      if (!term.held() || halted() !== null) continue;
      try {
        await this.#look(term);
      } catch (error) {
        logger.warn({ error: String(error) }, 'the log could not be trimmed');
      }
    }
  }

  async #look(term: Term): Promise<void> {
    const { log, nodes, forgetDeleted, logger } = this.#options;
    const checkpoints = await nodes.all();
    const target = trimTarget(await log.partitions(), this.#claims(checkpoints), this.#options);
    if (target !== null && term.held()) {
      this.#trimmed = await log.trim(target, term.epoch);
      logger.info({ trimmed: this.#trimmed }, 'the log was trimmed');
    } else {
      this.#trimmed = (await log.head()).trimmed;
    }
    this.#tellThoseLeftBehind(checkpoints);
    await log.forgetBatches(BATCHES_KEPT_MS);
    await forgetDeleted();
  }

  #claims(checkpoints: readonly NodePosition[]): Claim[] {
    const { members, clock, retentionMs } = this.#options;
    const now = clock.monotonic();
    const absentMsMax = Math.min(ABSENT_MS_MAX, retentionMs);
    for (const { id, state } of members) if (follows(state)) this.#followedAt.set(id, now);
    return checkpoints.map(({ id, checkpoint, markerLSN }) => {
      const followedAt = this.#followedAt.get(id);
      const lost = members.some((member) => member.id === id && member.state === 'needs_rebuild');
      return {
        after: Math.min(checkpoint, markerLSN),
        following: !lost && followedAt !== undefined && now - followedAt <= absentMsMax,
      };
    });
  }

  /** A node that is down learns its state here; one that is back, from its first read of the log. */
  #tellThoseLeftBehind(checkpoints: readonly NodePosition[]): void {
    for (const { id, checkpoint } of checkpoints) {
      if (checkpoint >= this.#trimmed) continue;
      const reason = `the log begins at LSN ${this.#trimmed + 1}, and the node had applied LSN ${checkpoint}`;
      this.#options.members.find((member) => member.id === id)?.on('lost_content', reason);
    }
  }
}
