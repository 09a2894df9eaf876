// Drops the copies that are not in use, in the background: replaced ones after a grace period, those of deleted collections
// at once. Large ones are emptied for minutes where servers keep lists of deleted records.

import type { Catalog } from '../catalog/catalog.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { mapKey } from '../util/map-key.ts';
import { linkedAbort } from '../util/race.ts';
import { dropCopy } from './copy-drop.ts';
import type { AsideCopy, CopyStore } from './copy-store.ts';

/** A node as a drop sees it. */
export interface DroppingNode {
  readonly id: string;
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  /** Its applier runs. */
  follows(): boolean;
}

export interface CopyDropsOptions {
  readonly copies: Pick<CopyStore, 'aside' | 'rename' | 'dropped'>;
  readonly nodes: () => readonly DroppingNode[];
  readonly catalog: Pick<Catalog, 'collectionOfShard' | 'isHealthy' | 'isSuspect' | 'refresh'>;
  readonly newId: () => string;
  readonly idsMax: () => number;
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: () => boolean;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

// R21: a gateway that has not learnt of the swap reads the old copy meanwhile, or gets a 404 and learns of it.
const GRACE_MS = 60_000;
const SWEEP_MS = 5_000;
// A large collection is emptied for minutes before it is dropped, in turns of so long: rebuilds do not wait for it.
const DROP_MS_MAX = 15_000;
// A drop may end its server; it is tried again after 10, 20, 40 and 80 s.
const DROPS_MAX = 5;

class DropTakesLong extends Error {
  constructor() {
    super('it takes long, and is continued later');
  }
}

export class CopyDrops {
  readonly #options: CopyDropsOptions;
  #sweptAt = -Infinity;
  /** Copies whose drop has not ended, by node and id there: a call that hangs may end much later. */
  readonly #dropping = new Set<string>();
  /** Drops that failed, by node and id there; those that only took long are not among them. */
  readonly #dropFailures = new Map<string, { readonly count: number; readonly nextAt: number }>();

  constructor(options: CopyDropsOptions) {
    this.#options = options;
  }

  /** A new term: what failed before is tried again. */
  begin(): void {
    this.#dropFailures.clear();
  }

  /**
   * Drops retired copies after their grace period, and what interrupted rebuilds left; not oftener than every few seconds.
   * `isSettled`: no call of an earlier leader can still be in flight.
   */
  async sweep(term: Term, isSettled: boolean): Promise<void> {
    const { copies, clock, catalog, nodes, logger } = this.#options;
    const now = clock.monotonic();
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const copy of await copies.aside()) {
      const node = nodes().find(({ id }) => id === copy.node);
      if (node === undefined || !node.follows()) continue;
      if (this.#dropping.has(keyOf(copy)) || !this.#isDue(copy, isSettled)) continue;
      const { name, state } = copy;
      try {
        await this.drop(copy, node, term);
        this.#dropFailures.delete(keyOf(copy));
        logger.info({ node: copy.node, name, state }, 'copy dropped');
      } catch (error) {
        // It goes on with the next sweep; rebuilds come first.
        if (error instanceof TermOver) throw error;
        if (error instanceof DropTakesLong) break;
        const failures = this.#dropFailed(copy);
        logger.warn({ node: copy.node, name, failures, error: String(error) }, 'copy not dropped');
      }
    }
    await catalog.refresh();
  }

  #isDue({ node, shard, physical, state, ageMs }: AsideCopy, isSettled: boolean): boolean {
    const { catalog, nodes } = this.#options;
    const collection = catalog.collectionOfShard(shard);
    // While the collection exists and the node's copy is suspect, its next rebuild resumes it.
    if (state === 'building') return isSettled && (collection === null || !catalog.isSuspect(node, shard));
    const failed = this.#dropFailures.get(keyOf({ node, physical }));
    // R30: what cannot be dropped stays until the node is filled anew.
    if (
      failed !== undefined &&
      (failed.count >= DROPS_MAX || this.#options.clock.monotonic() < failed.nextAt)
    )
      return false;
    if (collection === null) return true;
    // R35: kept while it is the only witness.
    const isWitnessed = nodes().some(({ id }) => catalog.isHealthy(id, shard));
    return ageMs >= GRACE_MS && isWitnessed;
  }

  #dropFailed({ node, physical }: AsideCopy): number {
    const key = keyOf({ node, physical });
    const count = (this.#dropFailures.get(key)?.count ?? 0) + 1;
    const nextAt = this.#options.clock.monotonic() + SWEEP_MS * 2 ** count;
    this.#dropFailures.set(key, { count, nextAt });
    return count;
  }

  /** Throws DropTakesLong, TermOver, and when the node does not respond as it must: it is dropped later. */
  async drop(copy: AsideCopy, node: DroppingNode, term: Term): Promise<void> {
    const { copies, newId, leavesLists, idsMax, clock } = this.#options;
    const key = keyOf(copy);
    if (this.#dropping.has(key)) throw new Error('an earlier attempt has not ended');
    this.#dropping.add(key);
    const { controller: over, unlink } = linkedAbort(term.signal);
    const held = (): boolean => term.held() && !over.signal.aborted;
    const options = {
      client: node.client,
      copies,
      newId,
      leavesLists: leavesLists(),
      idsMax: idsMax(),
      held,
      paced: async (step: () => Promise<void>) => {
        const from = clock.monotonic();
        await step();
        await sleep(clock, clock.monotonic() - from, over.signal);
      },
    };
    const dropping = dropCopy(copy, term.epoch, options).finally(() => this.#dropping.delete(key));
    const late = sleep(clock, DROP_MS_MAX, over.signal).then((): never => {
      throw term.signal.aborted ? new TermOver() : new DropTakesLong();
    });
    for (const each of [dropping, late]) each.catch(() => undefined);
    try {
      await Promise.race([dropping, late]);
    } finally {
      over.abort();
      unlink();
    }
  }
}

function keyOf({ node, physical }: Pick<AsideCopy, 'node' | 'physical'>): string {
  return mapKey(`${node} ${physical}`);
}
