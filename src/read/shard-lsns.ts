// An LSN for each shard, bounded: when there are too many, the oldest are folded into one that holds for all of them.
// So what it says is never too low, and at worst higher than need be.

// 100,000 shards take about 10 MB.
const SHARDS_MAX = 100_000;

export class ShardLSNs {
  readonly #shards = new Map<string, number>();
  #all: number;

  /** `all`: holds for every shard from the start. */
  constructor(all: number) {
    this.#all = all;
  }

  get(shard: string): number {
    return Math.max(this.#all, this.#shards.get(shard) ?? 0);
  }

  raise(shard: string, lsn: number): void {
    const before = this.#shards.get(shard) ?? 0;
    this.#shards.delete(shard);
    this.#shards.set(shard, Math.max(before, lsn));
    if (this.#shards.size <= SHARDS_MAX) return;
    const [oldest, folded] = this.#shards.entries().next().value as [string, number];
    this.#shards.delete(oldest);
    this.raiseAll(folded);
  }

  raiseAll(lsn: number): void {
    this.#all = Math.max(this.#all, lsn);
  }
}
