// The newest entries of the log in memory: appliers take them from here, and read from PostgreSQL only what is missing.

import type { Metric } from '../observability/metrics-registry.ts';
import { Notifier } from '../util/notifier.ts';
import type { EntryListener } from './entry-publisher.ts';
import type { Entry } from './entry.ts';
import type { SeenEntry } from './log-continuity.ts';

// Enough for the rounds of replicas a second behind, and for a node that is away for a moment; nodes further behind read
// from PostgreSQL.
const BYTES_MAX = 32 * 1024 * 1024;
// Entries read from PostgreSQL are not shared, and every node may be reading: this much is some tenths of a second of a
// stock server's work.
const READ_BYTES_MAX = 8 * 1024 * 1024;
/** Memory of an entry besides body and lists, bytes: about 880 in V8's heap including the parsed form; the rest is its Buffer. */
const ENTRY_BYTES = 1_280;

export interface LogReader {
  read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]>;
}

export interface LogBufferOptions {
  /** Called with an LSN when entries up to it were never committed here, before next() returns any of them. */
  readonly onUnseen?: (lsn: number) => void;
  /** LSN up to which every node has applied the log: the next append removes these entries from memory. */
  readonly appliedByAll?: () => number;
  /** Memory of the lists in a parsed body, bytes. */
  readonly parsedBytes?: (parsed: unknown) => number;
}

export class LogBuffer implements EntryListener {
  readonly #log: LogReader;
  /** Contiguous entries; the first is `#entries[#start]`, and the slots before it are empty. */
  #entries: (Entry | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #head: number;
  readonly #options: LogBufferOptions;
  readonly #grown = new Notifier();

  /** `head`: LSN of the last entry of the log. */
  constructor(log: LogReader, head: number, options: LogBufferOptions = {}) {
    this.#log = log;
    this.#head = head;
    this.#options = options;
  }

  /** LSN of the last entry known to be durable. */
  get head(): number {
    return this.#head;
  }

  /** The newest entry in memory; null when there is none. */
  get newest(): SeenEntry | null {
    const last = this.#entries.at(-1);
    return last === undefined ? null : { lsn: last.lsn, token: last.batch };
  }

  get metrics(): readonly Metric[] {
    const help = 'Memory of the newest entries of the log.';
    return [{ kind: 'bound', name: 'bytes', help, unit: 'bytes', max: BYTES_MAX, read: () => this.#bytes }];
  }

  /** Takes the entries of one append. Entries of other gateways leave a gap, which is read from the log. */
  committed(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (first.lsn !== this.#lastInMemory() + 1) this.#clear();
    const applied = this.#options.appliedByAll?.() ?? 0;
    while ((this.#entries[this.#start]?.lsn ?? NaN) <= applied) this.#removeOldest();
    if (first.lsn > this.#head + 1) this.#options.onUnseen?.(first.lsn - 1);
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#bytes += this.#cost(entry);
    }
    while (this.#bytes > BYTES_MAX && this.#entries.length - this.#start > 1) this.#removeOldest();
    this.#raiseHead((entries.at(-1) as Entry).lsn);
  }

  /** Records that the log reaches up to `head`, without the entries themselves. */
  advance(head: number): void {
    if (head <= this.#head) return;
    this.#options.onUnseen?.(head);
    this.#raiseHead(head);
  }

  /** As advance, when the listeners were notified of the entries. */
  extend(head: number): void {
    this.#raiseHead(head);
  }

  #raiseHead(head: number): void {
    if (head <= this.#head) return;
    this.#head = head;
    this.#grown.notify();
  }

  /** Entries after `after`, contiguous, at least one; waits for the first. None when `signal` aborts. */
  async next(after: number, entriesMax: number, bytesMax: number, signal: AbortSignal): Promise<Entry[]> {
    while (this.#head <= after && !signal.aborted) await this.#grown.wait(signal);
    if (signal.aborted) return [];
    const buffered = this.#fromMemory(after, entriesMax, bytesMax);
    if (buffered !== null) return buffered;
    const read = await this.#log.read(after, entriesMax, Math.min(bytesMax, READ_BYTES_MAX));
    // I6: entries appended meanwhile reach the other listeners first.
    return read.filter(({ lsn }) => lsn <= this.#head);
  }

  /** The entry at `lsn` if it is in memory, else null. */
  peek(lsn: number): Entry | null {
    const first = this.#entries[this.#start];
    if (first === undefined || lsn < first.lsn) return null;
    return this.#entries[this.#start + lsn - first.lsn] ?? null;
  }

  #fromMemory(after: number, entriesMax: number, bytesMax: number): Entry[] | null {
    if (this.peek(after + 1) === null) return null;
    const from = this.#start + after + 1 - (this.#entries[this.#start] as Entry).lsn;
    const taken: Entry[] = [];
    let bytes = 0;
    for (
      let index = from;
      index < this.#entries.length && taken.length < entriesMax && bytes < bytesMax;
      index++
    ) {
      const entry = this.#entries[index] as Entry;
      taken.push(entry);
      bytes += entry.body.length;
    }
    return taken;
  }

  #cost({ body, parsed }: Entry): number {
    return body.length + ENTRY_BYTES + (this.#options.parsedBytes?.(parsed) ?? 0);
  }

  #lastInMemory(): number {
    return this.#entries.length > this.#start ? (this.#entries.at(-1) as Entry).lsn : this.#head;
  }

  #removeOldest(): void {
    this.#bytes -= this.#cost(this.#entries[this.#start] as Entry);
    this.#entries[this.#start] = undefined;
    this.#start += 1;
    // Cut only when half of the array is empty, so that removal costs constant time on average.
    if (this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  #clear(): void {
    this.#entries = [];
    this.#start = 0;
    this.#bytes = 0;
  }
}
