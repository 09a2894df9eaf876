// Entries whose end is being recorded in PostgreSQL. Until the record is known, a node's success counts for nothing: an
// entry that was acknowledged may not be quarantined (R1).

import { orOver, type Term } from '../coordination/term.ts';
import { Notifier } from '../util/notifier.ts';

const NEVER = new AbortController().signal;

export class Endings {
  readonly #open = new Set<number>();
  readonly #closed = new Notifier();

  /** False when the end of the entry is being recorded already. */
  open(lsn: number): boolean {
    if (this.#open.has(lsn)) return false;
    this.#open.add(lsn);
    return true;
  }

  /** The record is known, or was not made. */
  close(lsn: number): void {
    if (this.#open.delete(lsn)) this.#closed.notify();
  }

  /** A new term knows all records of earlier ones, which can make no further ones. */
  closeAll(): void {
    this.#open.clear();
    this.#closed.notify();
  }

  isOpen(lsns: readonly number[]): boolean {
    return this.#open.size > 0 && lsns.some((lsn) => this.#open.has(lsn));
  }

  /** Resolves when the outcomes of these entries are known. Throws TermOver. */
  async known(lsns: readonly number[], term: Term): Promise<void> {
    while (this.isOpen(lsns)) await orOver(this.#closed.wait(term.signal), term);
  }

  /** Calls back when the outcomes of these entries are known, in whichever term. */
  onKnown(lsns: readonly number[], callback: () => void): void {
    if (!this.isOpen(lsns)) return callback();
    void this.#closed.wait(NEVER).then(() => this.onKnown(lsns, callback));
  }
}
