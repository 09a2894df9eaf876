// A bounded queue in front of a store: adding never waits and never throws, and what does not fit is dropped and counted.

import { sleep, type Clock } from '../util/clock.ts';

export interface StoredQueueOptions<T> {
  readonly store: { append(items: readonly T[]): Promise<void> };
  /** Largest number of items that wait. */
  readonly itemsMax: number;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

const BATCH_MAX = 100;
const RETRY_MS = 1_000;

export class StoredQueue<T> {
  readonly #options: StoredQueueOptions<T>;
  readonly #stopping = new AbortController();
  #items: T[] = [];
  #writing: Promise<void> | null = null;
  #dropped = 0;

  constructor(options: StoredQueueOptions<T>) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#items.length;
  }

  /** Since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  add(item: T): void {
    // The newest is dropped: the first items of an outage explain it.
    if (this.#items.length >= this.#options.itemsMax) this.#dropped += 1;
    else this.#items.push(item);
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  /** Writes what waits, with one attempt. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { store, clock, onError } = this.#options;
    const { signal } = this.#stopping;
    // Items of one turn of the event loop share a statement.
    await Promise.resolve();
    while (this.#items.length > 0) {
      const batch = this.#items.slice(0, BATCH_MAX);
      try {
        await store.append(batch);
        this.#items = this.#items.slice(batch.length);
      } catch (error) {
        onError(error);
        if (signal.aborted) return;
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }
}
