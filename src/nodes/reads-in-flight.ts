// The reads of this gateway that a node has not responded to.

import { sleep, type Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';

// A smaller read occupies a server for less than a probe may take.
const LARGE_BYTES = 256 * 1024;
// What a server does of the largest reads in a second, before anything is known of it.
const BYTES_PER_MS = 500;
const LEAST_MS = 2_000;

export class ReadsInFlight {
  readonly #clock: Clock;
  readonly #reads = new Set<AbortController>();
  /** Until when each large read that had no response may occupy the server, clock.monotonic() ms. */
  readonly #large = new Map<AbortController, number>();
  /** When a large read last had its response, clock.monotonic() ms. */
  #explainedMs = -Infinity;
  readonly #ended = new Notifier();

  get size(): number {
    return this.#reads.size;
  }

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Registers a read of so many bytes; call the result when it has ended, with or without a response. `read` is aborted
   * when the node stops serving; its server goes on with it.
   */
  begin(read: AbortController, bytes = 0): (hasResponded: boolean) => void {
    this.#reads.add(read);
    if (bytes >= LARGE_BYTES) {
      // A node that always responds is never asked for an explanation.
      this.#forgetOld();
      this.#large.set(read, this.#clock.monotonic() + LEAST_MS + bytes / BYTES_PER_MS);
    }
    return (hasResponded) => {
      if (hasResponded && this.#large.delete(read)) this.#explainedMs = this.#clock.monotonic();
      if (this.#reads.delete(read)) this.#ended.notify();
    };
  }

  /** A large read may still occupy the server: silence does not mean that the node has failed. */
  get explainsSilence(): boolean {
    this.#forgetOld();
    return this.#large.size > 0;
  }

  /** Silence since that moment, clock.monotonic() ms, is or was explained. */
  explainsSilenceSince(sinceMs: number): boolean {
    return this.explainsSilence || this.#explainedMs >= sinceMs;
  }

  #forgetOld(): void {
    const now = this.#clock.monotonic();
    for (const [read, until] of this.#large) if (until <= now) this.#large.delete(read);
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
