// The reads of this gateway that a node has not responded to.

import { sleep, type Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';

export class ReadsInFlight {
  readonly #reads = new Set<AbortController>();
  readonly #ended = new Notifier();

  get size(): number {
    return this.#reads.size;
  }

  /** Registers a read; call the result when it has ended. `read` is aborted when the node stops serving. */
  begin(read: AbortController): () => void {
    this.#reads.add(read);
    return () => {
      if (this.#reads.delete(read)) this.#ended.notify();
    };
  }

  abort(): void {
    for (const read of this.#reads) read.abort();
  }

  /** Resolves when the reads that are in flight now have ended, or after `limitMs`. */
  async ended(clock: Clock, limitMs: number): Promise<void> {
    const now = [...this.#reads];
    if (now.length === 0) return;
    const limit = new AbortController();
    void sleep(clock, limitMs, limit.signal).then(() => limit.abort());
    while (!limit.signal.aborted && now.some((read) => this.#reads.has(read)))
      await this.#ended.wait(limit.signal);
    limit.abort();
  }
}
