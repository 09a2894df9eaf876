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
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

// A promotion that no append has noticed is noticed by then; writes of other gateways wait for it.
const INTERVAL_MS = 1_000;

export class LogComparison {
  readonly #options: LogComparisonOptions;
  readonly #requested = new Notifier();
  /** The log is compared even on a timeline that was compared before. */
  #isForced = false;

  constructor(options: LogComparisonOptions) {
    this.#options = options;
  }

  /**
   * An append was refused: the log is compared at once, when PostgreSQL was promoted or `hasLost`: the log lacks what this
   * gateway has seen.
   */
  request(hasLost: boolean): void {
    this.#isForced ||= hasLost;
    this.#requested.notify();
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
      return this.#report(
        { epoch, lsn: checkpoint },
        `${node} has applied LSN ${checkpoint}, which the log lacks; its head is ${lsn}`,
      );
    }
    await continuity.confirm(epoch, timeline);
    logger.info({ head: lsn, markers: markers.filter((each) => each !== null).length }, 'log compared');
    return null;
  }

  /** Compares again after each promotion until the term is over; calls `onRewound` once entries are missing. */
  async run(term: Term, onRewound: (reason: string) => void): Promise<void> {
    const { continuity, clock, logger } = this.#options;
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
      try {
        const { isCompared, rewound } = await continuity.state();
        const reason = rewound ?? (isCompared && !isForced ? null : await this.compare(term));
        if (reason !== null) return onRewound(reason);
      } catch (error) {
        this.#isForced ||= isForced;
        logger.warn({ error: String(error) }, 'log not compared');
      }
    }
  }

  async #lostFromMemory(
    { head, newest }: LogComparisonOptions['logBuffer'],
    lsn: number,
    epoch: number,
  ): Promise<string | null> {
    const { continuity } = this.#options;
    if (lsn < head)
      return this.#report({ epoch, lsn: head }, `the log ends at LSN ${lsn}, and had reached ${head}`);
    if (newest === null || (await continuity.contains(newest))) return null;
    return this.#report(
      { epoch, lsn: newest.lsn },
      `the entry at LSN ${newest.lsn} is another than this gateway has seen`,
    );
  }

  async #report({ epoch, lsn }: { epoch: number; lsn: number }, what: string): Promise<string> {
    const reason = `log_rewound: ${what}`;
    await this.#options.continuity.reportRewound(epoch, lsn, reason);
    return reason;
  }
}
