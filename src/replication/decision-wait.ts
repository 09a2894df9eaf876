// Waits for the decision of an entry that only a node can decide; the primary makes and records it once (I5).

import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import { waitForAny, type Notifier } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import type { Decider, Decision, Decisions, Ruling } from './decisions.ts';
import { CallFailed } from './delivery.ts';
import { TermOver } from '../coordination/term.ts';
import { ForeignContent, LacksShard } from './node-faults.ts';

export interface Primary {
  readonly node: string | null;
  readonly generation: number;
}

export interface DecisionWaitOptions {
  readonly node: string;
  readonly clock: Clock;
  readonly decisions: Pick<Decisions, 'find' | 'record' | 'recorded'>;
  /** The node that decides at this moment. */
  readonly primary: () => Primary;
  readonly primaryChanged: Notifier;
  /** PostgreSQL does not accept decisions of this primary. */
  readonly onNotPrimary: (primary: Primary) => void;
  readonly onTrouble: (error: Error) => void;
}

const PAUSE_MS = 200;

export class DecisionWait {
  readonly #options: DecisionWaitOptions;

  constructor(options: DecisionWaitOptions) {
    this.#options = options;
  }

  /**
   * The recorded decision; as the primary, that of `decide` once it is recorded. `decide` returns null while another
   * node is to become primary, and is called again until a decision exists. Throws TermOver, and ForeignContent,
   * LacksShard or CallFailed from `decide`.
   */
  async decided(lsn: number, term: Term, decide: (by: Decider) => Promise<Ruling | null>): Promise<Decision> {
    const { decisions, primaryChanged, clock, onTrouble } = this.#options;
    for (;;) {
      if (!term.held()) throw new TermOver();
      const { controller, unlink } = linkedAbort(term.signal);
      const { signal } = controller;
      // Watched before looking, so that nothing recorded in between is missed.
      const changed = waitForAny([decisions.recorded, primaryChanged], signal);
      try {
        const decision = await this.#look(lsn, term, decide);
        if (decision !== null && decision !== 'wait') return decision;
        if (decision === null) await Promise.race([changed, sleep(clock, PAUSE_MS, signal)]);
        else await changed;
      } catch (error) {
        if (error instanceof TermOver || error instanceof ForeignContent) throw error;
        if (error instanceof LacksShard || error instanceof CallFailed) throw error;
        onTrouble(error as Error);
        await sleep(clock, PAUSE_MS, term.signal);
      } finally {
        controller.abort();
        unlink();
      }
    }
  }

  /** The decision; `wait` while another node is to decide; null to try again soon. */
  async #look(
    lsn: number,
    term: Term,
    decide: (by: Decider) => Promise<Ruling | null>,
  ): Promise<Decision | 'wait' | null> {
    const { decisions, primary, node } = this.#options;
    const found = await decisions.find(lsn);
    if (found !== null) return found;
    const { node: decider, generation } = primary();
    if (decider !== node) return 'wait';
    const by = { epoch: term.epoch, node, generation };
    const ruled = await decide(by);
    if (ruled === null) return null;
    crashPoint('decision_before');
    const recorded = await decisions.record(by, lsn, ruled);
    // Null: another node is primary, and this process has not been notified yet.
    if (recorded === null) this.#options.onNotPrimary({ node, generation });
    return recorded;
  }
}
