// How many records each collection holds, counted on a node while somebody wants to know, again after each change.

import { sleep, type Clock } from '../util/clock.ts';

export interface CollectionSizesOptions {
  /** The shards that exist. */
  readonly shards: () => readonly string[];
  /** LSN of the last entry of a shard that this gateway knows of. */
  readonly positionOf: (shard: string) => number;
  /** Asks a node. */
  readonly count: (shard: string, signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
}

interface CountedSize {
  readonly records: number;
  readonly position: number;
  /** clock.monotonic() ms. */
  readonly atMs: number;
}

const PASS_MS = 1_000;
// A collection that is being written is counted this often.
const AGE_MS_MIN = 2_000;
// A change that this gateway has not learnt of is found after this time.
const AGE_MS_MAX = 300_000;
// Pause after each count, in times of its duration: counting takes at most a fifth of the time of one node.
const PAUSE_FACTOR = 4;

export class CollectionSizes {
  readonly #options: CollectionSizesOptions;
  #sizes = new Map<string, CountedSize>();

  constructor(options: CollectionSizesOptions) {
    this.#options = options;
  }

  /** Records of a shard as last counted; null before. */
  of(shard: string): number | null {
    return this.#sizes.get(shard)?.records ?? null;
  }

  /** Records of all shards together; null while one of them has not been counted. */
  total(): number | null {
    let total = 0;
    for (const shard of this.#options.shards()) {
      const records = this.of(shard);
      if (records === null) return null;
      total += records;
    }
    return total;
  }

  /** Counts until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#pass(signal);
      await sleep(this.#options.clock, PASS_MS, signal);
    }
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { shards, clock } = this.#options;
    const present = shards();
    this.#forgetOthers(new Set(present));
    for (const shard of present) {
      if (signal.aborted) return;
      if (!this.#isOutdated(shard)) continue;
      const startMs = clock.monotonic();
      await this.#count(shard, signal);
      await sleep(clock, PAUSE_FACTOR * (clock.monotonic() - startMs), signal);
    }
  }

  #isOutdated(shard: string): boolean {
    const known = this.#sizes.get(shard);
    if (known === undefined) return true;
    const age = this.#options.clock.monotonic() - known.atMs;
    return age >= AGE_MS_MAX || (age >= AGE_MS_MIN && this.#options.positionOf(shard) > known.position);
  }

  async #count(shard: string, signal: AbortSignal): Promise<void> {
    const { positionOf, count, clock } = this.#options;
    const position = positionOf(shard);
    try {
      const records = await count(shard, signal);
      this.#sizes.set(shard, { records, position, atMs: clock.monotonic() });
    } catch {
      // No node could say; the next pass asks again, and until then the last count is shown.
    }
  }

  #forgetOthers(present: ReadonlySet<string>): void {
    for (const shard of this.#sizes.keys()) if (!present.has(shard)) this.#sizes.delete(shard);
  }
}
