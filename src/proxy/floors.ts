// I6: what a read through this gateway must see: every write this gateway acknowledged on the collection.

import type { Operation } from '../replication/operation.ts';

// Positions remembered one by one; when there are more shards, the oldest are folded into one floor for all of them,
// which asks for more than needed, never for less. 100,000 take about 10 MB.
const SHARDS_MAX = 100_000;

export class SessionFloors {
  readonly #shards = new Map<string, number>();
  /** Holds for every shard: what was acknowledged before this process, and what was folded. */
  #all: number;
  /** Holds for what is asked of names: collections, databases, tenants. */
  #schema: number;

  /** `head`: the log's end at the start; another process may have acknowledged up to there. */
  constructor(head: number) {
    this.#all = head;
    this.#schema = head;
  }

  acknowledged(operation: Operation, lsn: number): void {
    if (operation.type !== 'records') {
      this.#schema = Math.max(this.#schema, lsn);
      return;
    }
    const before = this.#shards.get(operation.shard) ?? 0;
    this.#shards.delete(operation.shard);
    this.#shards.set(operation.shard, Math.max(before, lsn));
    if (this.#shards.size <= SHARDS_MAX) return;
    const [oldest, floor] = this.#shards.entries().next().value as [string, number];
    this.#shards.delete(oldest);
    this.#all = Math.max(this.#all, floor);
  }

  /** The LSN up to which a node must have applied this shard. A shard that exists only since a schema entry needs that too. */
  shard(shard: string): number {
    return Math.max(this.#all, this.#shards.get(shard) ?? 0);
  }

  get schema(): number {
    return this.#schema;
  }
}
