// The end of the log in memory: appliers take entries from here as they are appended, and from PostgreSQL only what
// is no longer, or was never, here. What every node has applied is let go with the next append.

import { Notifier } from '../util/notifier.ts';
import type { Entry } from './entry.ts';

// Enough to hold the rounds of replicas that are a second behind, or a node away for a while; beyond it they read from
// PostgreSQL.
const BYTES_MAX = 32 * 1024 * 1024;
// What is read from PostgreSQL is held by one reader alone, and every node may be one: some tenths of a second of a
// stock server's work.
const READ_BYTES_MAX = 8 * 1024 * 1024;
/** What an entry costs beside its body, bytes, about: 880 in V8's heap, with what was parsed of it, the rest its buffer's. */
const ENTRY_BYTES = 1_280;

const cost = (entry: Entry): number => entry.body.length + ENTRY_BYTES;

export interface LogReader {
  read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]>;
}

export interface LogBufferOptions {
  /** Told, before anybody is given them, that there are entries up to an LSN which were never published here. */
  readonly onUnseen?: (lsn: number) => void;
  /** LSN up to which nobody will ask for entries again, soon. */
  readonly appliedByAll?: () => number;
}

export class LogBuffer {
  readonly #log: LogReader;
  /** Contiguous entries; the first is `#entries[#start]`, and before it is nothing. */
  #entries: (Entry | undefined)[] = [];
  #start = 0;
  #bytes = 0;
  #head: number;
  readonly #options: LogBufferOptions;
  readonly #grown = new Notifier();

  /** `head`: the LSN of the last entry there is. */
  constructor(log: LogReader, head: number, options: LogBufferOptions = {}) {
    this.#log = log;
    this.#head = head;
    this.#options = options;
  }

  /** LSN of the last entry known to be durable. */
  get head(): number {
    return this.#head;
  }

  /** Takes entries of one append, in LSN order. Entries of other gateways leave a gap, which is read from the log. */
  committed(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    if (first.lsn !== this.#lastInMemory() + 1) this.#forgetAll();
    const applied = this.#options.appliedByAll?.() ?? 0;
    while ((this.#entries[this.#start]?.lsn ?? NaN) <= applied) this.#forgetOldest();
    if (first.lsn > this.#head + 1) this.#options.onUnseen?.(first.lsn - 1);
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#bytes += cost(entry);
    }
    while (this.#bytes > BYTES_MAX && this.#entries.length - this.#start > 1) this.#forgetOldest();
    this.#grow((entries.at(-1) as Entry).lsn);
  }

  /** Learns that the log reaches up to `head`, without having the entries. */
  advance(head: number): void {
    if (head <= this.#head) return;
    this.#options.onUnseen?.(head);
    this.#grow(head);
  }

  #grow(head: number): void {
    if (head <= this.#head) return;
    this.#head = head;
    this.#grown.notify();
  }

  /** Entries after `after`, contiguous and at least one unless `signal` aborts (then none); waits for the first. */
  async next(after: number, entriesMax: number, bytesMax: number, signal: AbortSignal): Promise<Entry[]> {
    while (this.#head <= after && !signal.aborted) await this.#grown.wait(signal);
    if (signal.aborted) return [];
    const kept = this.#fromMemory(after, entriesMax, bytesMax);
    if (kept !== null) return kept;
    const read = await this.#log.read(after, entriesMax, Math.min(bytesMax, READ_BYTES_MAX));
    // What was appended meanwhile is made known first.
    return read.filter(({ lsn }) => lsn <= this.#head);
  }

  /** The entry at `lsn` if it is in memory. */
  peek(lsn: number): Entry | undefined {
    const first = this.#entries[this.#start];
    return first === undefined || lsn < first.lsn ? undefined : this.#entries[this.#start + lsn - first.lsn];
  }

  #fromMemory(after: number, entriesMax: number, bytesMax: number): Entry[] | null {
    if (this.peek(after + 1) === undefined) return null;
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

  #lastInMemory(): number {
    return this.#entries.length > this.#start ? (this.#entries.at(-1) as Entry).lsn : this.#head;
  }

  #forgetOldest(): void {
    this.#bytes -= cost(this.#entries[this.#start] as Entry);
    this.#entries[this.#start] = undefined;
    this.#start += 1;
    // The array is cut only when half of it is dead, so that forgetting stays cheap.
    if (this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  #forgetAll(): void {
    this.#entries = [];
    this.#start = 0;
    this.#bytes = 0;
  }
}
