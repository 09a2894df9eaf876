// An LSN for each shard, bounded: when there are too many shards, the LSN of the least recently raised one becomes a lower
// bound for all. So a shard's LSN is never too low, and at worst higher than necessary.

import { LruMap } from '../util/lru-map.ts';

// 100,000 shards take about 15 MB.
const SHARDS_MAX = 100_000;

export class ShardLSNs {
  readonly #shards = new LruMap<string, number>({
    weightMax: SHARDS_MAX,
    onEvict: (_shard, lsn) => this.raiseAll(lsn),
  });
  #all: number;

  /** `all`: a lower bound for every shard; `shards`: what is known of some. */
  constructor(all: number, shards: ReadonlyMap<string, number> = new Map()) {
    this.#all = all;
    for (const [shard, lsn] of shards) this.raise(shard, lsn);
  }

  get(shard: string): number {
    return Math.max(this.#all, this.#shards.peek(shard) ?? 0);
  }

  raise(shard: string, lsn: number): void {
    this.#shards.set(shard, Math.max(this.#shards.peek(shard) ?? 0, lsn));
  }

  raiseAll(lsn: number): void {
    this.#all = Math.max(this.#all, lsn);
  }

  /** Raises every shard to at least what the others have for it. */
  raiseTo(others: ShardLSNs): void {
    this.raiseAll(others.#all);
    for (const [shard, lsn] of others.#shards) this.raise(shard, lsn);
  }
}
