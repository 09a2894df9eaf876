// The way of every mutation: into the log, then to the asked level (I3). Handlers bring a typed operation and turn
// what comes back into Chroma's answer.

import { PolychromeError } from '../errors.ts';
import type { Appender } from '../log/appender.ts';
import type { Verdict } from '../log/entry.ts';
import type { Decision, Decisions } from '../replication/checkpoints.ts';
import { needsDecision, toDraft, type Operation } from '../replication/operation.ts';
import type { AckLevel, Positions } from '../replication/positions.ts';
import type { Clock } from '../util/clock.ts';
import type { SessionFloors } from './floors.ts';

export interface WriterOptions {
  readonly appender: Appender;
  readonly positions: Positions;
  readonly decisions: Decisions;
  readonly floors: SessionFloors;
  readonly clock: Clock;
  /** Why no write can be taken at this moment; null when it can. */
  readonly refusal: () => PolychromeError | null;
  readonly refreshCatalog: () => Promise<void>;
  readonly timeoutMs: number;
}

/** What became of a write the log took. */
export interface Written {
  readonly lsn: number;
  /** For operations that only a node could decide, and for entries that were quarantined. */
  readonly decision: Decision | null;
}

/** Why the log did not take a write. */
export type NotTaken = Exclude<Verdict, { s: 'ok' } | { s: 'busy' }>;

export class Writer {
  readonly #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /**
   * Appends and waits for the level. Throws unconfirmed when the level is not reached in time, log_unavailable when
   * nothing was changed, and what the nodes refused a quarantined entry with.
   */
  async write(operation: Operation, level: AckLevel): Promise<Written | NotTaken> {
    const { appender, positions, clock, timeoutMs, refusal } = this.#options;
    const deadline = new AbortController();
    const cancel = clock.after(timeoutMs, () => deadline.abort());
    try {
      for (;;) {
        const refused = refusal();
        if (refused !== null) throw refused;
        // A level below the primary's cannot tell what the primary decides.
        const asked = needsDecision(operation) && level === 'log' ? 'primary' : level;
        let reached: Promise<void> = Promise.resolve();
        const verdict = await appender.append(toDraft(operation), (lsn) => {
          reached = positions.reached(lsn, asked, deadline.signal);
        });
        if (verdict.s === 'ok') {
          await reached;
          return await this.#confirm(operation, verdict.lsn, asked, deadline.signal);
        }
        if (verdict.s !== 'busy') return verdict;
        // An undecided entry stands in the way: the answer depends on what becomes of it.
        await positions.reached(verdict.lsn, 'primary', deadline.signal);
        if (deadline.signal.aborted) {
          throw new PolychromeError(
            'overloaded',
            'An earlier change of this name is not decided yet. Try again.',
          );
        }
      }
    } finally {
      cancel();
    }
  }

  async #confirm(
    operation: Operation,
    lsn: number,
    level: AckLevel,
    deadline: AbortSignal,
  ): Promise<Written> {
    const { decisions, floors } = this.#options;
    if (deadline.aborted) {
      throw new PolychromeError(
        'unconfirmed',
        `The write is durable at LSN ${lsn} and will be applied; level "${level}" was not reached in time. Do not repeat it.`,
      );
    }
    floors.acknowledged(operation, lsn);
    const decided = needsDecision(operation);
    const decision = decided || decisions.isQuarantined(lsn) ? await decisions.find(lsn) : null;
    if (operation.type !== 'records') await this.#options.refreshCatalog();
    return { lsn, decision };
  }
}
