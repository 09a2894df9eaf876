// Removes collections from a node (R30): renamed by id, so that its name is free at once, then dropped. One that has to be
// emptied first is left to the leader's background task (repair/rebuilds.ts). A collection that the node cannot drop stays
// under its new name until the node is rebuilt, and holds nothing up.

import {
  deleteCollectionRequest,
  modifyCollectionRequest,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Term } from '../coordination/term.ts';
import { CallFailed, type Delivery } from './delivery.ts';

export interface CollectionRemovalOptions {
  readonly delivery: Pick<Delivery, 'call'>;
  /**
   * Whether lists in metadata survive the deletion of their collection on these servers and turn up on records stored
   * later, other ones on each node (I8): it is emptied first then.
   */
  readonly leavesLists: () => boolean;
  /** The node cannot drop a collection of the log that is deleted. */
  readonly onLeftover: (name: string, error: Error) => void;
}

// Renaming or dropping a collection takes a stock server milliseconds.
const SCHEMA_WORK = 0.01;

/** The name of a collection that is being removed; ids of nodes are unknown to clients, so none has it. */
export const nameOfRemoved = ({ physical }: Pick<ShardLocation, 'physical'>): string => `deleted-${physical}`;

export class CollectionRemoval {
  readonly #options: CollectionRemovalOptions;

  constructor(options: CollectionRemovalOptions) {
    this.#options = options;
  }

  /**
   * Removes the collection as far as that takes moments. The name under which it remains, to be emptied and dropped later;
   * null when it is gone, or stays for good. Harmless when repeated. Throws CallFailed, TermOver.
   */
  readonly remove = async (target: ShardLocation, lsn: number, term: Term): Promise<string | null> => {
    await this.rename(target, lsn, term);
    if (this.#options.leavesLists()) return nameOfRemoved(target);
    await this.#drop(target, lsn, term);
    return null;
  };

  /** Frees the name of the collection. Harmless when repeated. Throws CallFailed, TermOver. */
  async rename(target: ShardLocation, lsn: number, term: Term): Promise<void> {
    const body = Buffer.from(JSON.stringify({ new_name: nameOfRemoved(target) }));
    const request = modifyCollectionRequest(target, body);
    await this.#options.delivery.call({ request, lsns: [lsn], work: SCHEMA_WORK, isFinal: isMissing }, term);
  }

  /** Drops the renamed collection, if the node can. Throws TermOver. */
  async #drop(target: ShardLocation, lsn: number, term: Term): Promise<void> {
    const { delivery, onLeftover } = this.#options;
    const name = nameOfRemoved(target);
    try {
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

  /** Frees the name, and leaves the collection on the node: its drop keeps failing. Throws CallFailed, TermOver. */
  readonly giveUp = async (target: ShardLocation, lsn: number, term: Term): Promise<null> => {
    await this.rename(target, lsn, term);
    this.#options.onLeftover(nameOfRemoved(target), new Error('its drop has ended two connections'));
    return null;
  };
}
