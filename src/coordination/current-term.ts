// The term this gateway leads in at the moment: set by the leader, read by everything that acts only while it leads.

import type { Term } from './term.ts';

export class CurrentTerm {
  #term: Term | null = null;
  #lastEpoch = 0;

  /** Null while this gateway does not lead. */
  get term(): Term | null {
    return this.#term?.held() === true ? this.#term : null;
  }

  /** Of the last term in which this gateway led; 0 before the first. */
  get lastEpoch(): number {
    return this.#lastEpoch;
  }

  begin(term: Term): void {
    this.#term = term;
    this.#lastEpoch = term.epoch;
  }

  end(): void {
    this.#term = null;
  }
}
