// I6: what a read through this gateway must see: every write this gateway acknowledged on the collection.

import type { Operation } from '../chroma/protocol/operation.ts';
import { ShardLSNs } from './shard-lsns.ts';

export class SessionFloors {
  readonly #shards: ShardLSNs;
  /** Holds for what is asked of names: collections, databases, tenants. */
  #schema: number;

  /** `head`: the log's end at the start; another process may have acknowledged up to there. */
  constructor(head: number) {
    this.#shards = new ShardLSNs(head);
    this.#schema = head;
  }

  acknowledged(operation: Operation, lsn: number): void {
    if (operation.type === 'records') this.#shards.raise(operation.shard, lsn);
    else this.#schema = Math.max(this.#schema, lsn);
  }

  /** The LSN up to which a node must have applied this shard. */
  shard(shard: string): number {
    return this.#shards.get(shard);
  }

  get schema(): number {
    return this.#schema;
  }
}
