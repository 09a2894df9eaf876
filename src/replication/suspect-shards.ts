// Makes a node's copy of a shard suspect, in the order that I8 asks for: nothing is served from it from the moment the
// suspicion exists, and its applier acts on it only once it is durable.

import type { Term } from '../coordination/term.ts';
import type { EventSink } from '../observability/events.ts';
import type { Logger } from '../util/logger.ts';
import type { AssignedShard } from './checkpoints.ts';

/** Why one copy is suspect; `physical`: its id on the node. */
export interface CopySuspicion {
  readonly physical: string;
  readonly reason: string;
}

/** The copy with the suspicion; unchanged when it is suspect already, or the suspicion concerns another copy. */
export function suspected(copy: AssignedShard, { physical, reason }: CopySuspicion): AssignedShard {
  return copy.suspect === null && copy.physical === physical ? { ...copy, suspect: reason } : copy;
}

export interface SuspectShardsOptions {
  /** Forgets every cached response and record: some may have come from the copy. */
  readonly forget: () => void;
  /** From now on no node selection and no acknowledgement of this gateway counts on the copy. */
  readonly exclude: (node: string, shard: string, reason: string) => void;
  /** Makes it durable; returns the id of the copy on the node. Throws when the lease has moved on. */
  readonly record: (epoch: number, node: string, shard: string, reason: string) => Promise<string>;
  /** Has the node's applier skip the shard's entries, and decide nothing from it, while this copy is in use. */
  readonly notifyApplier: (node: string, shard: string, suspicion: CopySuspicion) => void;
  readonly refreshCatalog: () => Promise<void>;
  /** The node's copies, as PostgreSQL has them. */
  readonly recorded: (node: string) => Promise<ReadonlyMap<string, AssignedShard>>;
  /** The node's copy as this gateway knows it. */
  readonly known: (node: string, shard: string) => Pick<AssignedShard, 'physical' | 'suspect'> | null;
  /** Announces the suspicion in the marker of its node. */
  readonly announce: () => void;
  readonly events: EventSink;
  readonly logger: Pick<Logger, 'error'>;
}

export class SuspectShards {
  readonly #options: SuspectShardsOptions;

  constructor(options: SuspectShardsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the suspicion is durable and known. Throws when it could not be recorded; the copy stays excluded.
   */
  async add(node: string, shard: string, reason: string, { epoch }: Pick<Term, 'epoch'>): Promise<void> {
    const { forget, exclude, record, notifyApplier, refreshCatalog, announce, events, logger } =
      this.#options;
    logger.error({ node, shard, reason }, 'shard became suspect');
    events.record('shard_suspect', { node, shard, reason });
    forget();
    // Here at once: PostgreSQL may take long to respond.
    exclude(node, shard, reason);
    const physical = await record(epoch, node, shard, reason);
    // Not before it is durable: a node that skipped entries would look healthy to the next gateway. A response that is late
    // may find another copy in use.
    notifyApplier(node, shard, { physical, reason });
    await refreshCatalog();
    announce();
    // Until it was excluded the copy could be asked, and its responses cached after the first time.
    forget();
  }

  /**
   * The node's copies, from which it is about to follow the log. A suspicion that PostgreSQL lacks, because it was promoted
   * without it, is recorded again: the node would apply entries to a copy that counts nowhere.
   */
  async assigned(node: string, term: Pick<Term, 'epoch'>): Promise<ReadonlyMap<string, AssignedShard>> {
    const assigned = new Map(await this.#options.recorded(node));
    for (const [shard, copy] of assigned) {
      const known = this.#options.known(node, shard);
      if (copy.suspect !== null || known?.physical !== copy.physical || known.suspect === null) continue;
      await this.add(node, shard, known.suspect, term);
      assigned.set(shard, { ...copy, suspect: known.suspect });
    }
    return assigned;
  }
}
