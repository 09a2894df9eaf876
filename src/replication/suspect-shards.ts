// Makes a node's copy of a shard suspect, in the order that I8 asks for: nothing is served from it from the moment the
// suspicion exists, and its applier acts on it only once it is durable.

import type { Term } from '../coordination/term.ts';
import type { EventSink } from '../observability/events.ts';
import type { Logger } from '../util/logger.ts';

export interface SuspectShardsOptions {
  /** Forgets every cached response and record: some may have come from the copy. */
  readonly forget: () => void;
  /** From now on no node selection and no acknowledgement of this gateway counts on the copy. */
  readonly exclude: (node: string, shard: string, reason: string) => void;
  /** Makes it durable. Throws when the lease has moved on. */
  readonly record: (epoch: number, node: string, shard: string, reason: string) => Promise<void>;
  /** Has the node's applier skip the shard's entries, and decide nothing from it. */
  readonly notifyApplier: (node: string, shard: string, reason: string) => void;
  readonly refreshCatalog: () => Promise<void>;
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
    await record(epoch, node, shard, reason);
    // Not before it is durable: a node that skipped entries would look healthy to the next gateway.
    notifyApplier(node, shard, reason);
    await refreshCatalog();
    announce();
    // Until it was excluded the copy could be asked, and its responses cached after the first time.
    forget();
  }
}
