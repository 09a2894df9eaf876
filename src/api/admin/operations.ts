// Long operations of operators: each is started by a request, continues without its client, and can be looked at until
// it is forgotten. What an operation must not lose is recorded elsewhere, in PostgreSQL; this is the view of it.

import { PolychromeError } from '../../errors.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { orAborted } from '../../util/race.ts';
import type { ProgressReport, ReportProgress } from '../../util/progress.ts';
import { ProgressRate } from './progress-rate.ts';

/** What an operation does, and to what. */
export interface OperationSubject {
  /** As the command that starts it: "node add". */
  readonly kind: string;
  /** The node or collection; '' when it concerns the cluster. */
  readonly target: string;
}

/** Resolves with what operators are shown of the result. Throws PolychromeError for a failure that it can explain. */
export type OperationWork = (report: ReportProgress, signal: AbortSignal) => Promise<object>;

export interface OperationProgress extends ProgressReport {
  /** Units per second, over the last seconds; null while not known. */
  readonly perSecond: number | null;
  /** Estimated time to the end of the phase; null while not known. */
  readonly remainingMs: number | null;
}

export interface OperationStatus extends OperationSubject {
  readonly id: string;
  readonly state: 'running' | 'done' | 'failed';
  /** ISO 8601. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** The last report; null before the first. */
  readonly progress: OperationProgress | null;
  /** Null until it is done. */
  readonly result: object | null;
  /** Why it failed; null unless it has. */
  readonly error: string | null;
}

export interface OperationsOptions {
  readonly clock: Clock;
  readonly newId: () => string;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
}

interface RunningOperation {
  status: OperationStatus;
  readonly rate: ProgressRate;
  readonly ended: Promise<void>;
}

// Each operation moves nodes or content; more at once than nodes in a large cluster has no use.
const RUNNING_MAX = 32;
// Enough to find the operations of a day of maintenance; one takes less than a kilobyte.
const ENDED_MAX = 200;
const ID_LENGTH = 8;

export class Operations {
  readonly #options: OperationsOptions;
  /** In the order of their starts. */
  readonly #operations = new Map<string, RunningOperation>();
  readonly #stopping = new AbortController();

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Starts an operation. While one on the same subject runs, returns that one. Throws PolychromeError. */
  start(subject: OperationSubject, work: OperationWork): OperationStatus {
    const { kind, target } = subject;
    const running = [...this.#operations.values()].filter(({ status }) => status.state === 'running');
    const same = running.find(({ status }) => status.kind === kind && status.target === target);
    if (same !== undefined) return same.status;
    if (this.#stopping.signal.aborted) throw new PolychromeError('stopping', 'This gateway is stopping.');
    if (running.length >= RUNNING_MAX) {
      throw new PolychromeError('overloaded', `${RUNNING_MAX} operations are in progress; try again later.`);
    }
    const { clock, newId, logger } = this.#options;
    const id = newId().slice(0, ID_LENGTH);
    const startedAt = new Date(clock.now()).toISOString();
    const status: OperationStatus = {
      id,
      kind,
      target,
      state: 'running',
      startedAt,
      endedAt: null,
      progress: null,
      result: null,
      error: null,
    };
    logger.info({ operation: id, kind, target }, 'operation started');
    const rate = new ProgressRate();
    this.#operations.set(id, { status, rate, ended: Promise.resolve().then(() => this.#run(id, work)) });
    this.#forget();
    return status;
  }

  /** The operation as it is now; null when there is none of that id. */
  find(id: string): OperationStatus | null {
    return this.#operations.get(id)?.status ?? null;
  }

  /** The running and the last ended ones, newest first. */
  list(): readonly OperationStatus[] {
    return [...this.#operations.values()].map(({ status }) => status).reverse();
  }

  /** Interrupts all; resolves when none runs. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([...this.#operations.values()].map(({ ended }) => ended));
  }

  async #run(id: string, work: OperationWork): Promise<void> {
    try {
      const { signal } = this.#stopping;
      const result = await orAborted(
        work((report) => this.#report(id, report), signal),
        signal,
      );
      this.#end(id, { state: 'done', result });
    } catch (error) {
      this.#end(id, { state: 'failed', error: this.#explain(error) });
    }
  }

  #explain(error: unknown): string {
    if (error instanceof PolychromeError) return error.message;
    if (this.#stopping.signal.aborted) return 'The gateway stopped before the operation ended.';
    this.#options.logger.error({ error: String(error) }, 'operation failed unexpectedly');
    return `Unexpected error: ${String(error)}`;
  }

  #report(id: string, report: ProgressReport): void {
    const operation = this.#operations.get(id);
    if (operation?.status.state !== 'running') return;
    const progress = { ...report, ...operation.rate.observe(report, this.#options.clock.monotonic()) };
    operation.status = { ...operation.status, progress };
  }

  #end(id: string, outcome: Partial<OperationStatus>): void {
    const operation = this.#operations.get(id);
    if (operation === undefined) return;
    const { clock, logger } = this.#options;
    operation.status = { ...operation.status, ...outcome, endedAt: new Date(clock.now()).toISOString() };
    const { kind, target, state, error } = operation.status;
    if (state === 'failed') logger.warn({ operation: id, kind, target, error }, 'operation failed');
    else logger.info({ operation: id, kind, target }, 'operation done');
  }

  /** Forgets the oldest ended operations beyond the bound. */
  #forget(): void {
    const ended = [...this.#operations.values()].filter(({ status }) => status.state !== 'running');
    for (const { status } of ended.slice(0, Math.max(0, ended.length - ENDED_MAX)))
      this.#operations.delete(status.id);
  }
}
