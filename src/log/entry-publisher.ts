// Hands what was appended to everything in this process that follows the log, in a fixed order: those that must know of
// an entry before any node can apply it come first, the log buffer, from which appliers take it, last (I6).

import type { Entry } from './entry.ts';

export interface EntryListener {
  /** Entries of one append, durable, in LSN order. */
  committed(entries: readonly Entry[]): void;
}

export class EntryPublisher {
  readonly #listeners: readonly EntryListener[];

  constructor(listeners: readonly EntryListener[]) {
    this.#listeners = listeners;
  }

  publish(entries: readonly Entry[]): void {
    for (const listener of this.#listeners) listener.committed(entries);
  }
}
