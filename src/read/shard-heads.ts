// The heads of shards as PostgreSQL has them: asked after a read arrived (level `strong`), or not longer ago than the read
// allows (level `bounded`). Reads that wait share the next query, so that one is in flight at a time.

import { PolychromeError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import { LruMap } from '../util/lru-map.ts';

/** Positions of the log at one moment. */
export interface LogPositions {
  /** LSN of the last entry of the log. */
  readonly head: number;
  /** LSN of the last entry of each shard that exists, of those asked for. */
  readonly shards: ReadonlyMap<string, number>;
}

export interface ShardHeadsOptions {
  readonly ask: (shards: readonly string[]) => Promise<LogPositions>;
  readonly clock: Clock;
}

/** Asked in one query, whose result does not change any more. */
interface Query {
  readonly shards: Set<string>;
  readonly result: Promise<LogPositions & { readonly askedAt: number }>;
}

// As many collections as are read within the bounded lag of some seconds; 100,000 take about 15 MB.
const REMEMBERED_MAX = 100_000;

export class ShardHeads {
  readonly #options: ShardHeadsOptions;
  readonly #known = new LruMap<string, { readonly lsn: number; readonly askedAt: number }>({
    weightMax: REMEMBERED_MAX,
  });
  #inFlight: Promise<unknown> = Promise.resolve();
  #next: Query | null = null;

  constructor(options: ShardHeadsOptions) {
    this.#options = options;
  }

  /** LSN of the shard's last entry, now. Throws log_unavailable. */
  async now(shard: string): Promise<number> {
    return (await this.#ask(shard)).shards.get(shard) ?? 0;
  }

  /** LSN of the shard's last entry, as it was at most so many ms ago. Throws log_unavailable. */
  async within(shard: string, ageMsMax: number): Promise<number> {
    const known = this.#known.get(shard);
    if (known !== null && this.#options.clock.monotonic() - known.askedAt <= ageMsMax) return known.lsn;
    return this.now(shard);
  }

  /** LSN of the last entry of the log, now. Throws log_unavailable. */
  async head(): Promise<number> {
    return (await this.#ask(null)).head;
  }

  async #ask(shard: string | null): Promise<LogPositions> {
    const query = (this.#next ??= this.#queue());
    if (shard !== null) query.shards.add(shard);
    try {
      const positions = await query.result;
      const { askedAt } = positions;
      if (shard !== null) this.#known.set(shard, { lsn: positions.shards.get(shard) ?? 0, askedAt });
      return positions;
    } catch (error) {
      throw new PolychromeError(
        'log_unavailable',
        'PostgreSQL cannot be asked how far the log reaches, so a read at this level cannot be served. Try again, or use the level session or eventual.',
        { cause: error },
      );
    }
  }

  /** The query that is sent once the one in flight has returned. */
  #queue(): Query {
    const { ask, clock } = this.#options;
    const shards = new Set<string>();
    const send = async (): Promise<LogPositions & { askedAt: number }> => {
      this.#next = null;
      const askedAt = clock.monotonic();
      return { ...(await ask([...shards])), askedAt };
    };
    const result = this.#inFlight.then(send, send);
    this.#inFlight = result;
    return { shards, result };
  }
}
