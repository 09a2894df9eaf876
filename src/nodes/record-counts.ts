// How many records the collections hold, asked of one healthy copy of each, slowly: for advice on capacity.

import { countRecordsRequest, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { sleep, type Clock } from '../util/clock.ts';

/** A copy of a shard that can be asked. */
export interface CountedCopy {
  readonly location: ShardLocation;
  readonly client: Pick<NodeClient, 'read'>;
  /** Of its vectors; null: it has none yet. */
  readonly dimension: number | null;
}

export interface RecordCountsOptions {
  /** Whether this gateway counts: the leader does. */
  readonly isLeading: () => boolean;
  readonly shards: () => readonly string[];
  /** Null: no copy can be asked. */
  readonly copyOf: (shard: string) => CountedCopy | null;
  /** What so many vectors need in the memory of one node. */
  readonly indexBytes: (records: number, dimension: number | null) => number;
  readonly clock: Clock;
}

export interface RecordCountsTotals {
  readonly records: number;
  readonly indexBytes: number;
}

// Growth is a matter of days.
const INTERVAL_MS = 3_600_000;
// Also how often a gateway looks whether it has become the leader.
const FIRST_MS = 5_000;
// A server counts a million records in some 100 ms: so it keeps at least a third of its time.
const PAUSE_MS = 200;
const DEADLINE_MS = 10_000;

interface Count {
  readonly records: number;
  readonly dimension: number | null;
}

export class RecordCounts {
  readonly #options: RecordCountsOptions;
  /** By shard, as last counted. */
  #counts = new Map<string, Count>();
  #totals: RecordCountsTotals | null = null;

  constructor(options: RecordCountsOptions) {
    this.#options = options;
  }

  /** As last counted; null before. */
  get totals(): RecordCountsTotals | null {
    return this.#totals;
  }

  /** Counts until `stop` aborts. Never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock, isLeading } = this.#options;
    for (let pauseMs = FIRST_MS; !stop.aborted; pauseMs = isLeading() ? INTERVAL_MS : FIRST_MS) {
      await sleep(clock, pauseMs, stop);
      if (!stop.aborted && isLeading()) await this.count(stop);
    }
  }

  /** Counts every collection once; one that cannot be counted keeps the count that it had. */
  async count(stop: AbortSignal): Promise<void> {
    const { shards, copyOf, clock, indexBytes } = this.#options;
    const counts = new Map<string, Count>();
    for (const shard of shards()) {
      const copy = copyOf(shard);
      const found = (copy === null ? null : await countOf(copy)) ?? this.#counts.get(shard);
      if (found !== undefined) counts.set(shard, found);
      await sleep(clock, PAUSE_MS, stop);
      if (stop.aborted) return;
    }
    this.#counts = counts;
    const totals = { records: 0, indexBytes: 0 };
    for (const { records, dimension } of counts.values()) {
      totals.records += records;
      totals.indexBytes += indexBytes(records, dimension);
    }
    this.#totals = totals;
  }
}

async function countOf({ location, client, dimension }: CountedCopy): Promise<Count | null> {
  try {
    const { status, body } = await client.read({ ...countRecordsRequest(location), deadlineMs: DEADLINE_MS });
    const records = Number(body.toString());
    return status === 200 && Number.isInteger(records) ? { records, dimension } : null;
  } catch {
    return null;
  }
}
