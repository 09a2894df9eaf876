// The way of every mutation: into the log, then to the asked level (I3). Handlers bring a typed operation and turn
// what comes back into Chroma's answer.

import { PolychromeError } from '../errors.ts';
import type { Appender } from '../log/appender.ts';
import type { Verdict } from '../log/entry.ts';
import type { Decision, Decisions } from '../replication/decisions.ts';
import { toDraft } from '../replication/entry-operation.ts';
import { needsDecision, type Operation } from '../chroma/protocol/operation.ts';
import type { Positions } from '../replication/positions.ts';
import type { AckLevel } from '../coordination/cluster-view.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { SessionFloors } from '../read/session-floors.ts';

export interface WriterOptions {
  readonly appender: Appender;
  readonly positions: Positions;
  readonly decisions: Decisions;
  readonly floors: SessionFloors;
  readonly clock: Clock;
  /** Why no write can be taken at this moment; null when it can. */
  readonly refusal: () => PolychromeError | null;
  readonly refreshCatalog: () => Promise<void>;
  /** How long a write is held back at this moment, ms (slow-down.ts). */
  readonly slowDownMs: () => number;
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
      const heldBackMs = this.#options.slowDownMs();
      if (heldBackMs > 0) await sleep(clock, heldBackMs, deadline.signal);
      let waitedFor = 0;
      for (;;) {
        const refused = refusal();
        if (refused !== null) throw refused;
        // A level below the primary's cannot tell what the primary decides.
        const asked = needsDecision(operation) && level === 'log' ? 'primary' : level;
        const shard = operation.type === 'records' ? operation.shard : null;
        let reached: Promise<void> = Promise.resolve();
        const verdict = await appender.append(toDraft(operation), (lsn) => {
          reached = positions.reached({ lsn, shard }, asked, deadline.signal);
        });
        if (verdict.s === 'ok') {
          await reached;
          return await this.#confirm(operation, verdict.lsn, asked, deadline.signal);
        }
        if (verdict.s !== 'busy') return verdict;
        // An undecided entry stands in the way: the answer depends on what becomes of it.
        const before = { lsn: verdict.lsn, shard: null };
        if (verdict.lsn !== waitedFor) await positions.reached(before, 'primary', deadline.signal);
        // The same one again, although the primary is past it: to go on asking would only hold the head row (I9).
        if (deadline.signal.aborted || verdict.lsn === waitedFor) {
          throw new PolychromeError(
            'overloaded',
            'An earlier change of this name is not decided yet. Try again.',
          );
        }
        waitedFor = verdict.lsn;
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
    const unconfirmed = (what: string, cause?: unknown): PolychromeError =>
      new PolychromeError(
        'unconfirmed',
        `The write is durable at LSN ${lsn}; outcome pending: ${what} in time. Do not repeat it.`,
        { cause },
      );
    if (deadline.aborted) throw unconfirmed(`level "${level}" was not reached`);
    try {
      const decision = await orAborted(this.#outcome(operation, lsn), deadline);
      this.#options.floors.acknowledged(operation, lsn);
      return { lsn, decision };
    } catch (error) {
      // I3: PostgreSQL failed after it took the entry; that makes the write no failure.
      throw unconfirmed('its outcome could not be read', error);
    }
  }

  async #outcome(operation: Operation, lsn: number): Promise<Decision | null> {
    const { decisions, refreshCatalog } = this.#options;
    const isDecided = needsDecision(operation);
    const decision = isDecided ? await decisions.find(lsn) : decisions.exception(lsn);
    if (isDecided && decision === null) throw new Error('it is not decided yet');
    // I6: a read that follows finds the collection under its new name, or not at all.
    if (operation.type !== 'records') await refreshCatalog();
    return decision;
  }
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Error('not in time'));
    signal.addEventListener('abort', late, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', late));
  });
}
