// Passes appended entries to their listeners in this process in a fixed order: first those that must see an entry before
// any node can apply it, last the log buffer, from which the appliers take it (I6).

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
