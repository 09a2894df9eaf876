// What the calls of earlier leaders may have left on a node beyond its checkpoint: a leader that ended before it could
// save a checkpoint may have acknowledged what the node had applied (R1).

import type { Entry } from '../log/entry.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import type { Positions } from './positions.ts';

/**
 * What a node's content says about an entry: `none`, it was not applied, or not whole, or without effect; `whole`, the node
 * has all that the entry stores; `unknown`, neither can be shown.
 */
export type Trace = 'none' | 'whole' | 'unknown';

export class EarlierCalls {
  readonly #roundEntriesMax: number;
  #log: Pick<LogBuffer, 'head' | 'peek'> | null = null;
  #epoch = 0;
  #to = 0;
  readonly #traces = new Map<number, Trace>();

  /** `roundEntriesMax`: an earlier leader had one round in flight, of so many entries at most. */
  constructor(roundEntriesMax: number) {
    this.#roundEntriesMax = roundEntriesMax;
  }

  /** The node follows the log from its checkpoint; the first time in a term, head and a round limit what it may hold. */
  begin(epoch: number, checkpoint: number, log: Pick<LogBuffer, 'head' | 'peek'>): void {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#log = log;
    this.#to = Math.min(log.head, checkpoint + this.#roundEntriesMax);
    this.#traces.clear();
  }

  /** LSN up to which the node may have applied entries before this term; null when it has not followed the log in it. */
  to(epoch: number): number | null {
    return epoch === this.#epoch ? this.#to : null;
  }

  /** Reads of the node may show the entries beyond its checkpoint that may have been sent before this term. */
  label(node: string, checkpoint: number, positions: Pick<Positions, 'sending' | 'mayBeExecuting'>): void {
    for (let lsn = checkpoint + 1; lsn <= this.#to; lsn++) {
      const entry = this.#log?.peek(lsn) ?? null;
      // Its shard is not known: reads of every shard may show it.
      if (entry === null) return positions.mayBeExecuting(node, this.#to);
      if (entry.target !== null) positions.sending(node, entry.target, lsn);
    }
  }

  /** What the node's content says about the entry; `none` for one that cannot have been sent before this term. */
  async trace(entry: Entry, checkpoint: number, read: () => Promise<Trace>): Promise<Trace> {
    if (entry.lsn > this.#to) return 'none';
    const known = this.#traces.get(entry.lsn);
    if (known !== undefined) return known;
    const shown = await read();
    const trace = shown === 'whole' && !this.#isNextOfShard(entry, checkpoint) ? 'unknown' : shown;
    // A node that cannot be read now may be readable later.
    if (trace !== 'unknown') this.#traces.set(entry.lsn, trace);
    return trace;
  }

  /** Whether the node lacks no earlier entry of the shard: without those, the same content may be an older one. */
  #isNextOfShard({ lsn, target }: Entry, checkpoint: number): boolean {
    for (let earlier = checkpoint + 1; earlier < lsn; earlier++) {
      const entry = this.#log?.peek(earlier) ?? null;
      if (entry === null || entry.target === target) return false;
    }
    return true;
  }
}
