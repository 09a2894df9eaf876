// Shards that a read has shown to differ wait here for their comparison, one at a time.

import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { CopyUnreadable, recordsIn } from './copy-content.ts';
import { recordDifference } from './record-difference.ts';
import type { ShardVerification } from './shard-verification.ts';

export interface ComparisonQueueOptions {
  readonly verification: Pick<ShardVerification, 'verify'>;
  readonly serving: () => readonly string[];
  /** Null while this gateway does not lead. */
  readonly term: () => Term | null;
  /** Called instead when this gateway does not lead: the leader compares everything. */
  readonly onNotLeading: () => void;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

// Reads go on differing until the copy is suspect; more shards than this are left to the scrub.
const QUEUED_MAX = 100;
// Between two comparisons of whole shards, so that false alarms cannot keep the nodes busy.
const PAUSE_MS = 1_000;

export class ComparisonQueue {
  readonly #options: ComparisonQueueOptions;
  readonly #shards = new Set<string>();
  #isRunning = false;

  constructor(options: ComparisonQueueOptions) {
    this.#options = options;
  }

  /** Compares the copies of the shard soon. */
  add(shard: string): void {
    if (this.#options.term() === null) return this.#options.onNotLeading();
    if (this.#shards.size < QUEUED_MAX) this.#shards.add(shard);
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    const { verification, serving, term, clock, logger } = this.#options;
    this.#isRunning = true;
    for (const shard of this.#shards) {
      const current = term();
      try {
        if (current !== null) await verification.verify(shard, serving(), { term: current });
      } catch (error) {
        logger.warn(
          { shard, error: String(error) },
          'copies not compared; the next difference or scrub does it',
        );
      }
      this.#shards.delete(shard);
      await sleep(clock, PAUSE_MS, current?.signal);
    }
    this.#isRunning = false;
  }
}

/** Whether two responses to one get differ in their records or their order. */
export function responsesDiffer(one: Buffer, other: Buffer): boolean {
  if (one.equals(other)) return false;
  try {
    const [left, right] = [recordsIn(one), recordsIn(other)];
    const isSame = left.every((record, index) => {
      const same = right[index];
      // Nodes that applied one log return the same vectors to the bit.
      return same?.id === record.id && recordDifference(record, same, { isCosine: false }) === null;
    });
    return !isSame || left.length !== right.length;
  } catch (error) {
    if (error instanceof CopyUnreadable) return true;
    throw error;
  }
}
