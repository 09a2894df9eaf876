// Compares the log with what was seen of it, at each lease acquisition and each promotion of a PostgreSQL standby: with
// the memory of this gateway and the markers of all nodes that respond.

import type { Term } from '../coordination/term.ts';
import type { LogContinuity, SeenEntry } from '../log/log-continuity.ts';
import type { Head } from '../log/postgres-log.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { Notifier } from '../util/notifier.ts';
import type { Followers } from './follower.ts';

export interface LogComparisonOptions {
  readonly continuity: Pick<LogContinuity, 'state' | 'contains' | 'confirm' | 'reportRewound'>;
  readonly head: () => Promise<Head>;
  /** What this gateway has seen of the log. */
  readonly logBuffer: { readonly head: number; readonly newest: SeenEntry | null };
  readonly followers: Pick<Followers, 'all'>;
  /** Whether this gateway leads, and compares the log. */
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

export interface LogComparisonEvents {
  /** Entries are missing, and why that is known. */
  readonly onRewound: (reason: string) => void;
  /** The log has every entry; a promoted server may lack what was recorded about them. */
  readonly onCompared: () => void;
}

// A promotion that no append has noticed is noticed by then; writes of other gateways wait for it.
const INTERVAL_MS = 1_000;

export class LogComparison {
  readonly #options: LogComparisonOptions;
  readonly #requested = new Notifier();
  /** The log is compared even on a timeline that was compared before. */
  #isForced = false;
  #isReporting = false;
  /** While another gateway leads: a comparison with the memory of this one failed, or was requested during another. */
  #isPending = false;
  /** When the last such comparison began, clock.monotonic() ms. */
  #reportedAt = -INTERVAL_MS;
  /** Why entries are known to be missing in this term, and the highest LSN of one. */
  #lost: string | null = null;
  #lostLSN = 0;

  constructor(options: LogComparisonOptions) {
    this.#options = options;
  }

  /**
   * An append was refused, or another PostgreSQL responds: the log is compared at once, when PostgreSQL was promoted or
   * `hasLost`: the log may lack what this gateway has seen.
   */
  request(hasLost: boolean): void {
    this.#isForced ||= hasLost;
    this.#requested.notify();
    if (hasLost && !this.#options.leads()) void this.#reportMemory();
  }

  /** Makes a pending comparison. Called when PostgreSQL has responded. */
  resume(): void {
    if (this.#isPending && !this.#options.leads()) void this.#reportMemory();
  }

  /** A node came whose marker is ahead of the log. Returns why the log has lost entries, which is then recorded. */
  found(node: string, lsn: number): string {
    this.#lost ??= `log_rewound: ${node} has applied LSN ${lsn}, which the log lacks`;
    this.#lostLSN = Math.max(this.#lostLSN, lsn);
    this.#requested.notify();
    return this.#lost;
  }

  /**
   * Why the log has lost its last entries; null when everything that was seen is there, which is then recorded. Throws when
   * PostgreSQL does not respond.
   */
  async compare({ epoch }: Pick<Term, 'epoch'>): Promise<string | null> {
    const { continuity, head, followers, logBuffer, logger } = this.#options;
    const { rewound, timeline } = await continuity.state();
    if (rewound !== null) return rewound;
    // Before the head is read: what is appended meanwhile is no loss.
    const seen = { head: logBuffer.head, newest: logBuffer.newest };
    const { lsn, logId } = await head();
    const lost = await this.#lostFromMemory(seen, lsn, epoch);
    if (lost !== null) return lost;
    const nodes = followers.all();
    const markers = await Promise.all(nodes.map(({ admission }) => admission.progress()));
    for (const [index, progress] of markers.entries()) {
      if (progress === null || progress.log !== logId) continue;
      const { checkpoint, token } = progress;
      if (checkpoint === 0 || (await continuity.contains({ lsn: checkpoint, token }))) continue;
      const node = nodes[index]?.member.id ?? '';
      const what = `${node} has applied LSN ${checkpoint}, which the log lacks; its head is ${lsn}`;
      const found = await this.#report(epoch, { lsn: checkpoint, token }, what);
      if (found !== null) return found;
    }
    await continuity.confirm(epoch, timeline);
    logger.info({ head: lsn, markers: markers.filter((each) => each !== null).length }, 'log compared');
    return null;
  }

  /**
   * Compares again after each promotion until the term is over. Once entries are missing, that stays recorded, also on a
   * server that is promoted later.
   */
  async run(term: Term, { onRewound, onCompared }: LogComparisonEvents): Promise<void> {
    const { continuity, logBuffer, clock, logger } = this.#options;
    this.#lost = null;
    while (!term.signal.aborted) {
      const pause = new AbortController();
      const wake = (): void => pause.abort();
      term.signal.addEventListener('abort', wake, { once: true });
      await Promise.race([sleep(clock, INTERVAL_MS, pause.signal), this.#requested.wait(pause.signal)]);
      term.signal.removeEventListener('abort', wake);
      pause.abort();
      if (!term.held()) continue;
      const isForced = this.#isForced;
      this.#isForced = false;
      let isBegun = false;
      try {
        const { isCompared, rewound } = await continuity.state();
        if (this.#lost !== null) {
          const lsn = Math.max(this.#lostLSN, logBuffer.head);
          if (rewound === null)
            await continuity.reportRewound({ epoch: term.epoch, lsn, reason: this.#lost });
          continue;
        }
        if (rewound === null && isCompared && !isForced) continue;
        isBegun = true;
        const lost = await this.compare(term);
        this.#lost ??= lost;
        if (lost === null) onCompared();
        else onRewound(lost);
      } catch (error) {
        // PostgreSQL may have recorded the comparison although the response was lost: onCompared must be called all the same.
        this.#isForced ||= isForced || isBegun;
        logger.warn({ error: String(error) }, 'log not compared');
      }
    }
  }

  /** What only a gateway that does not lead has seen is lost all the same: it may have acknowledged it. */
  async #reportMemory(): Promise<void> {
    const { continuity, head, logBuffer, clock, logger } = this.#options;
    this.#isPending = true;
    if (this.#isReporting || clock.monotonic() - this.#reportedAt < INTERVAL_MS) return;
    // A request during this comparison makes it pending again: PostgreSQL may be replaced once more.
    this.#isPending = false;
    this.#isReporting = true;
    this.#reportedAt = clock.monotonic();
    try {
      const seen = { head: logBuffer.head, newest: logBuffer.newest };
      if ((await continuity.state()).rewound === null)
        await this.#lostFromMemory(seen, (await head()).lsn, null);
    } catch (error) {
      this.#isPending = true;
      logger.warn({ error: String(error) }, 'lost entries not reported');
    } finally {
      this.#isReporting = false;
    }
  }

  async #lostFromMemory(
    { head, newest }: LogComparisonOptions['logBuffer'],
    lsn: number,
    epoch: number | null,
  ): Promise<string | null> {
    if (lsn < head) {
      const what = `the log ends at LSN ${lsn}, and had reached ${head}`;
      return this.#report(epoch, { lsn: head, token: null }, what);
    }
    if (newest === null || (await this.#options.continuity.contains(newest))) return null;
    return this.#report(
      epoch,
      newest,
      `the entry at LSN ${newest.lsn} is another than this gateway has seen`,
    );
  }

  /** Records the loss of an entry; null when the log has it after all. */
  async #report(
    epoch: number | null,
    missing: { readonly lsn: number; readonly token: string | null },
    what: string,
  ): Promise<string | null> {
    const reason = `log_rewound: ${what}`;
    const { lsn } = missing;
    if (!(await this.#options.continuity.reportRewound({ epoch, lsn, reason }, missing))) return null;
    this.#lostLSN = Math.max(this.#lostLSN, lsn);
    return reason;
  }
}
