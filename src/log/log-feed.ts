// Publishes every entry of the log in LSN order: those appended here as soon as they are durable, those of other gateways
// once the head shows them. A gateway that does not lead needs only what invalidates its caches.

import { LogDamaged, LogTrimmed, type Entry } from './entry.ts';
import type { EntryPublisher } from './entry-publisher.ts';
import type { LogBuffer } from './log-buffer.ts';

/** An entry without its content. */
export type EntryChange = Pick<Entry, 'lsn' | 'kind' | 'target'>;

export interface LogFeedOptions {
  readonly buffer: Pick<LogBuffer, 'head' | 'advance' | 'extend'>;
  readonly publisher: Pick<EntryPublisher, 'publish'>;
  readonly log: {
    read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]>;
    changes(after: number, upTo: number): Promise<EntryChange[]>;
  };
  /** Called with entries of other gateways where their content is not needed. */
  readonly onChanges: (changes: readonly EntryChange[]) => void;
  /** Called with every entry, however it became known. */
  readonly onEntries: (changes: readonly EntryChange[]) => void;
  /** Whether nodes are driven from here, so that entries are needed whole. */
  readonly leads: () => boolean;
  /** Called when entries of other gateways precede those appended here: the head should be read. */
  readonly onGap: () => void;
  /** Resolves when the append in flight is over; null when there is none. */
  readonly appendInFlight: () => Promise<void> | null;
}

// As a round takes at most.
const READ_ENTRIES_MAX = 1_024;
const READ_BYTES_MAX = 8 * 1024 * 1024;
// A gateway that missed more drops what it has cached: reading them would take longer.
const CHANGES_MAX = 10_000;
// Batches of this gateway that wait for entries of others; beyond it they are read from the log.
const WAITING_MAX = 8;

export class LogFeed {
  readonly #options: LogFeedOptions;
  /** Batches appended here whose predecessors are not published yet, by their first LSN. */
  readonly #waiting = new Map<number, readonly Entry[]>();

  constructor(options: LogFeedOptions) {
    this.#options = options;
  }

  /** Entries of one append of this gateway, durable, in LSN order. */
  committed(entries: readonly Entry[]): void {
    const { buffer, onGap } = this.#options;
    const unknown = entries.filter(({ lsn }) => lsn > buffer.head);
    const [first] = unknown;
    if (first === undefined) return;
    if (first.lsn === buffer.head + 1) {
      this.#publish(unknown);
      return this.#publishWaiting();
    }
    if (this.#waiting.size === WAITING_MAX) this.#waiting.clear();
    this.#waiting.set(first.lsn, unknown);
    onGap();
  }

  /** Publishes everything up to `head`, which the log has reached. Throws when PostgreSQL does not respond. */
  async advance(head: number): Promise<void> {
    const { buffer, leads, appendInFlight } = this.#options;
    // Usually the entries of the append in flight, which need not be read.
    if (buffer.head < head) await appendInFlight();
    while (buffer.head < head) {
      this.#publishWaiting();
      if (buffer.head >= head) return;
      const from = buffer.head;
      if (leads()) await this.#readEntries(head);
      else await this.#readChanges(head);
      // Trimmed or damaged: a reader of these entries gets the error.
      if (buffer.head === from) buffer.advance(head);
    }
    this.#publishWaiting();
  }

  async #readEntries(head: number): Promise<void> {
    const { buffer, log } = this.#options;
    const next = Math.min(head + 1, ...[...this.#waiting.keys()].filter((lsn) => lsn > buffer.head));
    const count = Math.min(READ_ENTRIES_MAX, next - 1 - buffer.head);
    try {
      const read = await log.read(buffer.head, count, READ_BYTES_MAX);
      const entries = read.filter(({ lsn }) => lsn > buffer.head && lsn <= head);
      if (entries[0]?.lsn === buffer.head + 1) this.#publish(entries);
    } catch (error) {
      if (!(error instanceof LogTrimmed) && !(error instanceof LogDamaged)) throw error;
    }
  }

  async #readChanges(head: number): Promise<void> {
    const { buffer, log, onChanges, onEntries } = this.#options;
    if (head - buffer.head > CHANGES_MAX) return;
    const read = await log.changes(buffer.head, head);
    const changes = read.filter(({ lsn }) => lsn > buffer.head);
    if (changes[0]?.lsn !== buffer.head + 1) return;
    onChanges(changes);
    onEntries(changes);
    buffer.extend((changes.at(-1) as EntryChange).lsn);
  }

  #publishWaiting(): void {
    const { buffer } = this.#options;
    for (const [first, entries] of [...this.#waiting].sort(([a], [b]) => a - b)) {
      if (first > buffer.head + 1) return;
      this.#waiting.delete(first);
      const unknown = entries.filter(({ lsn }) => lsn > buffer.head);
      if (unknown.length > 0) this.#publish(unknown);
    }
  }

  #publish(entries: readonly Entry[]): void {
    this.#options.onEntries(entries);
    this.#options.publisher.publish(entries);
  }
}
