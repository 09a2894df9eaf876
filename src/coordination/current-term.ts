// The term this gateway leads in at the moment: set by the leader, read by everything that acts only while it leads.

import type { Term } from './term.ts';

export class CurrentTerm {
  #term: Term | null = null;

  /** Null while this gateway does not lead. */
  get term(): Term | null {
    return this.#term?.held() === true ? this.#term : null;
  }

  begin(term: Term): void {
    this.#term = term;
  }

  end(): void {
    this.#term = null;
  }
}
