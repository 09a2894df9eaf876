// Removes collections from a node (R30): renamed by id, so that its name is free at once, then emptied and dropped. A
// collection that the node cannot drop stays under its new name until the node is rebuilt, and holds nothing up.

import { deleteByIdsBodies, type MergeLimits } from '../chroma/batch/merge.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import {
  deleteCollectionRequest,
  getRecordsRequest,
  modifyCollectionRequest,
  recordsRequest,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { hasNoEffect, isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Term } from '../coordination/term.ts';
import { PAGE_IDS } from './conditional-delete.ts';
import { CallFailed, type Delivery } from './delivery.ts';
import type { NodeReads } from './node-reads.ts';
import type { Failure } from './trials.ts';

export interface CollectionRemovalOptions {
  readonly delivery: Pick<Delivery, 'call'>;
  readonly reads: Pick<NodeReads, 'read'>;
  readonly limits: () => MergeLimits;
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: () => boolean;
  /** The node cannot drop a collection of the log that is deleted. */
  readonly onLeftover: (name: string, error: Error) => void;
}

// Renaming, emptying or dropping a collection takes a stock server milliseconds.
const SCHEMA_WORK = 0.01;

/** The name of a collection that is being removed; ids of nodes are unknown to clients, so none has it. */
const nameOfRemoved = ({ physical }: ShardLocation): string => `deleted-${physical}`;

const STAYS: Failure = {
  kind: 'response',
  status: 200,
  body: Buffer.from('the records stay although their deletion succeeds'),
};

export class CollectionRemoval {
  readonly #options: CollectionRemovalOptions;

  constructor(options: CollectionRemovalOptions) {
    this.#options = options;
  }

  /** Frees the name of the collection. Harmless when repeated. Throws CallFailed, TermOver. */
  async rename(target: ShardLocation, lsn: number, term: Term): Promise<void> {
    const body = Buffer.from(JSON.stringify({ new_name: nameOfRemoved(target) }));
    const request = modifyCollectionRequest(target, body);
    await this.#options.delivery.call({ request, lsns: [lsn], work: SCHEMA_WORK, isFinal: isMissing }, term);
  }

  /** Drops the renamed collection, if the node can. Throws TermOver. */
  async drop(target: ShardLocation, lsn: number, term: Term): Promise<void> {
    const { delivery, onLeftover } = this.#options;
    const name = nameOfRemoved(target);
    try {
      await this.#empty(target, lsn, term);
      const request = deleteCollectionRequest(target, name);
      // One attempt: nothing depends on it.
      const call = { request, lsns: [lsn], work: SCHEMA_WORK, isFinal: () => true };
      const response = await delivery.call(call, term);
      if (isSuccess(response) || isMissing(response)) return;
      onLeftover(name, new Error(`HTTP ${response.status}: ${response.body.toString('utf8', 0, 300)}`));
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      onLeftover(name, error);
    }
  }

  /** Leaves the renamed collection on the node: its drop keeps failing. */
  giveUp(target: ShardLocation): void {
    this.#options.onLeftover(nameOfRemoved(target), new Error('its drop has ended two connections'));
  }

  /**
   * Deletes every record before the collection is dropped, where servers take lists in metadata: those of a dropped
   * collection stay behind in such a server and turn up on records stored later, other ones on each node (I8).
   */
  async #empty(target: ShardLocation, lsn: number, term: Term): Promise<void> {
    const { limits, leavesLists, delivery } = this.#options;
    if (!leavesLists()) return;
    const isFinal = (response: NodeResponse): boolean => hasNoEffect('delete', response);
    for (let previous: string | null = null; ;) {
      const ids = await this.#someIds(target, lsn, term);
      const [first] = ids;
      if (first === undefined) return;
      // It would go on for ever.
      if (first === previous) throw new CallFailed(STAYS);
      previous = first;
      for (const body of deleteByIdsBodies(ids, limits().maxIds)) {
        const request = recordsRequest(target, 'delete', [body]);
        const deleted = await delivery.call({ request, lsns: [lsn], work: 1, isFinal }, term);
        // Already dropped: the round is being repeated.
        if (!isSuccess(deleted)) return;
      }
    }
  }

  /** Some ids of the shard, fewer where they are long; none when it is empty or does not exist. */
  async #someIds(target: ShardLocation, lsn: number, term: Term): Promise<readonly string[]> {
    for (let limit = PAGE_IDS; ; limit = Math.ceil(limit / 2)) {
      try {
        const request = getRecordsRequest(target, { limit, include: [] });
        const page = await this.#options.reads.read(request, lsn, term);
        return isSuccess(page) ? (JSON.parse(page.body.toString()) as { ids: string[] }).ids : [];
      } catch (error) {
        if (!(error instanceof NodeError) || error.code !== 'too_large' || limit === 1) throw error;
      }
    }
  }
}
