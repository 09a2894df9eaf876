// Carries out every mutation: appends it to the log, then waits until the nodes have applied it as far as the requested
// acknowledgement level asks (I3).

import { needsDecision, type Operation } from '../chroma/protocol/operation.ts';
import type { AckLevel, ClusterView } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { Appender } from '../log/appender.ts';
import type { AppendResult } from '../log/entry.ts';
import type { SessionFloors } from '../read/session-floors.ts';
import type { Decision } from '../replication/decisions.ts';
import type { Backlog } from './backlog.ts';
import type { CatchUpPressure } from './catch-up-pressure.ts';
import { toDraft } from '../replication/entry-operation.ts';
import { workOf } from '../chroma/batch/split.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { orAborted } from '../util/race.ts';

/** Where the outcomes of entries are recorded. */
export interface DecisionSource {
  /** The decision for an entry; null when there is none yet. */
  find(lsn: number): Promise<Decision | null>;
  /** The decision that nodes apply an entry in part or not at all; null for any other entry. */
  exception(lsn: number): Decision | null;
}

export interface WriterOptions {
  readonly appender: Pick<Appender, 'append'>;
  readonly view: Pick<ClusterView, 'writable' | 'reached'>;
  readonly decisions: DecisionSource;
  readonly floors: Pick<SessionFloors, 'acknowledged'>;
  readonly clock: Clock;
  readonly refreshCatalog: () => Promise<void>;
  readonly backlog: Pick<Backlog, 'reserve'>;
  readonly backPressure: {
    /** How long to delay a write at this moment, ms (backpressure.ts). */
    readonly delayMs: () => number;
    readonly catchUp: Pick<CatchUpPressure, 'turn'>;
  };
  readonly timeoutMs: number;
  /** Duration of the lease. */
  readonly leaseMs: number;
}

/** A write that is durable and has reached its level. */
export interface CompletedWrite {
  readonly lsn: number;
  /** Of operations that only a node could decide, and of entries that nodes do not apply as they are. */
  readonly decision: Decision | null;
}

/** Why the log rejected a write. */
export type RejectedWrite = Exclude<AppendResult, { s: 'ok' } | { s: 'busy' }>;

/** What one append came to: an LSN and its level being reached, an undecided entry to wait for, or a rejection. */
type AppendAttempt =
  | { readonly s: 'ok'; readonly lsn: number; readonly reached: Promise<void> }
  | { readonly s: 'busy'; readonly lsn: number }
  | RejectedWrite;

const LEASE_POLL_MS = 50;
// A gateway that lost the lease itself acquires it again after a whole lease in which nothing moved.
const LEASES_MAX = 2;

export class Writer {
  readonly #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /**
   * Appends and waits for the level. Throws unconfirmed when the level is not reached in time, and log_unavailable,
   * not_leader or overloaded when nothing was changed. `onAppended` is called once the entry is durable.
   */
  async write(
    operation: Operation,
    level: AckLevel,
    onAppended?: (lsn: number) => void,
  ): Promise<CompletedWrite | RejectedWrite> {
    const { clock, timeoutMs } = this.#options;
    const deadline = new AbortController();
    const cancel = clock.after(timeoutMs, () => deadline.abort());
    // Only the primary's decision says what the response is.
    const required = needsDecision(operation) && level === 'log' ? 'primary' : level;
    try {
      await this.#delay(operation, deadline.signal);
      const attempt = await this.#append(operation, required, deadline.signal);
      if (attempt.s !== 'ok') return attempt;
      onAppended?.(attempt.lsn);
      await attempt.reached;
      return await this.#confirm({ operation, lsn: attempt.lsn, level: required }, deadline.signal);
    } finally {
      cancel();
    }
  }

  async #delay(operation: Operation, deadline: AbortSignal): Promise<void> {
    const { clock, backPressure } = this.#options;
    const delayMs = backPressure.delayMs();
    if (delayMs > 0) await sleep(clock, delayMs, deadline);
    await backPressure.catchUp.turn(workOfOperation(operation), deadline);
  }

  /** Appends once no earlier undecided entry is in the way. */
  async #append(
    operation: Operation,
    level: AckLevel,
    deadline: AbortSignal,
  ): Promise<Exclude<AppendAttempt, { s: 'busy' }>> {
    const { view } = this.#options;
    for (let waitedFor = 0; ;) {
      const attempt = await this.#tryAppend(operation, level, deadline);
      if (attempt.s !== 'busy') return attempt;
      // The result depends on what becomes of the undecided entry.
      const undecided = { lsn: attempt.lsn, shard: null };
      if (attempt.lsn !== waitedFor) await view.reached(undecided, 'primary', deadline);
      // I9: the same entry again, although the primary is past it. Further attempts would only hold the head row.
      if (deadline.aborted || attempt.lsn === waitedFor) {
        throw new PolychromeError(
          'overloaded',
          'An earlier change of this name is not decided yet; nothing was changed. Try again.',
        );
      }
      waitedFor = attempt.lsn;
    }
  }

  async #tryAppend(operation: Operation, level: AckLevel, deadline: AbortSignal): Promise<AppendAttempt> {
    const { appender, view, backlog } = this.#options;
    await this.#writable(deadline);
    const isRecords = operation.type === 'records';
    const room = await backlog.reserve(workOfOperation(operation), deadline);
    let reached = Promise.resolve();
    try {
      const result = await appender.append(toDraft(operation), (lsn) => {
        room.appended(lsn);
        reached = view.reached({ lsn, shard: isRecords ? operation.shard : null }, level, deadline);
      });
      return result.s === 'ok' ? { ...result, reached } : result;
    } finally {
      room.discarded();
    }
  }

  /** Waits while this gateway is about to lead again: it lost the lease, and no other gateway has taken it. */
  async #writable(deadline: AbortSignal): Promise<void> {
    const { view, clock, leaseMs } = this.#options;
    for (let waitedMs = 0; ; waitedMs += LEASE_POLL_MS) {
      const refusal = view.writable();
      if (refusal === null) return;
      const isPassing = refusal.code === 'not_leader' && waitedMs < LEASES_MAX * leaseMs;
      if (!isPassing || deadline.aborted) throw refusal;
      await sleep(clock, LEASE_POLL_MS, deadline);
    }
  }

  async #confirm(
    {
      operation,
      lsn,
      level,
    }: { readonly operation: Operation; readonly lsn: number; readonly level: AckLevel },
    deadline: AbortSignal,
  ): Promise<CompletedWrite> {
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
      // I3: the entry is durable, so failing to read its outcome does not make the write a failure.
      throw unconfirmed('its outcome could not be read', error);
    }
  }

  async #outcome(operation: Operation, lsn: number): Promise<Decision | null> {
    const { decisions, refreshCatalog } = this.#options;
    const isDecided = needsDecision(operation);
    const decision = isDecided ? await decisions.find(lsn) : decisions.exception(lsn);
    if (isDecided && decision === null) throw new Error('the entry is not decided yet');
    // I6: a read that follows finds the collection under its new name, or not at all.
    if (operation.type !== 'records') await refreshCatalog();
    return decision;
  }
}

function workOfOperation(operation: Operation): number {
  return operation.type === 'records' ? workOf(operation.call) : 0;
}
