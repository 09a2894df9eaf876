// Follows the state of the cluster in PostgreSQL by polling, on every gateway: what others have changed is loaded before
// anything that depends on it is used (R16).

import type { ClusterSnapshot, ClusterSnapshots } from '../coordination/cluster-snapshot.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { Knowledge } from '../coordination/knowledge.ts';
import { PolychromeError } from '../errors.ts';
import { RECORD_KINDS } from '../log/entry.ts';
import type { EntryChange, LogFeed } from '../log/log-feed.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { linkedAbort } from '../util/race.ts';
import type { Positions } from './positions.ts';

export interface ClusterFeedOptions {
  readonly store: Pick<ClusterSnapshots, 'read'>;
  readonly current: CurrentTerm;
  readonly knowledge: Knowledge;
  readonly logFeed: Pick<LogFeed, 'advance'>;
  /** LSN up to which this gateway knows the log. */
  readonly knownHead: () => number;
  /** Called while another gateway leads, when the log may lack what this one knows: PostgreSQL was replaced. */
  readonly onReplaced: () => void;
  readonly positions: Pick<Positions, 'waiting' | 'moved'>;
  /** Loads what a snapshot with a new view number refers to; resolves when it is in use. */
  readonly loadView: (state: ClusterSnapshot, before: ClusterSnapshot | null) => Promise<void>;
  /** As loadView, while this gateway leads: only what other gateways append changes behind it. */
  readonly loadCatalog: (state: ClusterSnapshot) => Promise<void>;
  /** Called with each state, once it is loaded. */
  readonly onLoaded: (state: ClusterSnapshot) => void;
  /** Uses checkpoints, states and primary of a snapshot; called while this gateway does not lead. */
  readonly follow: (state: ClusterSnapshot) => void;
  /** Called when no other gateway is registered any more: those that were may have acknowledged every entry. */
  readonly onAlone: () => void;
  /** LSN up to which schema changes may have been acknowledged. */
  readonly raiseSchemaFloor: (lsn: number) => void;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

/** Requests that wait for a state read after they came. */
interface Refresh {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

// While a request waits for a node to apply an entry.
const AWAITED_MS = 3;
// The leader delivers what other gateways append: at once while they do, soon after a pause.
const APPENDED_MS = 4;
const APPENDED_FOR_MS = 2_000;
const LEADING_MS = 20;
const IDLE_MS = 250;
const RETRY_MS = 100;
// A read that takes longer counts as unanswered. So does one that is in flight when the state before it is about to be too
// old: the only gateway goes on with reads, and must know by then that PostgreSQL does not respond.
const LATE_LEASES = 0.5;
const TOO_OLD_MARGIN_LEASES = 0.25;
// A timer that fires so much too late was not waiting for PostgreSQL: this process was frozen. The response may be there.
const FROZEN_LEASES = 0.25;
const RESPONSE_LEASES = 0.1;

export class ClusterFeed {
  readonly #options: ClusterFeedOptions;
  #state: ClusterSnapshot | null = null;
  /** The state whose view is loaded whole; null when this gateway has led since. */
  #followed: ClusterSnapshot | null = null;
  #refresh: Refresh | null = null;
  /** Ends the pause before the next poll. */
  #wake: () => void = () => undefined;
  #isPoked = false;
  #pausedMs = 0;
  /** When another gateway has last appended, clock.monotonic() ms. */
  #othersAppendedAt = -Infinity;
  /** LSNs of schema changes that the primary has not applied yet, ascending. */
  #schemaLSNs: number[] = [];

  constructor(options: ClusterFeedOptions) {
    this.#options = options;
  }

  /** As it was read last; null before the first time. */
  get state(): ClusterSnapshot | null {
    return this.#state;
  }

  /** Resolves when a state is loaded that was read after the call. Throws log_unavailable. */
  refreshed(): Promise<void> {
    this.#refresh ??= Promise.withResolvers<void>();
    // Without a waiting request, its failure is no unhandled rejection.
    this.#refresh.promise.catch(() => undefined);
    this.#wake();
    return this.#refresh.promise;
  }

  /** Reads the state at once: this gateway has learnt that it has changed. */
  poke(): void {
    this.#isPoked = true;
    this.#wake();
  }

  /** Called with every entry, before it counts as known. */
  entries(changes: readonly EntryChange[]): void {
    for (const { lsn, kind } of changes) if (!RECORD_KINDS.includes(kind)) this.#schemaLSNs.push(lsn);
  }

  /** Called before something waits for nodes to apply more. */
  awaited(): void {
    if (this.#options.current.term === null && this.#pausedMs > AWAITED_MS) this.#wake();
  }

  /** Polls until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const hasRead = await this.#poll(signal);
      await (hasRead ? this.#pause(signal) : sleep(this.#options.clock, RETRY_MS, signal));
    }
    this.#refresh?.reject(unavailable(new Error('this gateway is stopping')));
  }

  #pauseMs(): number {
    const { current, positions, knowledge, clock } = this.#options;
    if (current.term === null)
      return positions.waiting > 0 || positions.moved.isAwaited ? AWAITED_MS : IDLE_MS;
    if (!knowledge.hasOthers) return IDLE_MS;
    return clock.monotonic() - this.#othersAppendedAt < APPENDED_FOR_MS ? APPENDED_MS : LEADING_MS;
  }

  /** Ends early when the state is wanted. */
  async #pause(signal: AbortSignal): Promise<void> {
    if (this.#refresh !== null || this.#isPoked) return;
    const { controller, unlink } = linkedAbort(signal);
    this.#pausedMs = this.#pauseMs();
    this.#wake = () => controller.abort();
    await sleep(this.#options.clock, this.#pausedMs, controller.signal);
    this.#wake = () => undefined;
    this.#pausedMs = 0;
    unlink();
  }

  async #poll(signal: AbortSignal): Promise<boolean> {
    const { knowledge, clock, logger, leaseMs } = this.#options;
    const refresh = this.#refresh;
    this.#refresh = null;
    this.#isPoked = false;
    const sentAt = clock.monotonic();
    const cancelSilent = this.#afterSilence(
      Math.min(leaseMs * LATE_LEASES, knowledge.msUntilTooOld - leaseMs * TOO_OLD_MARGIN_LEASES),
      () => knowledge.failed(),
    );
    const cancelLate = this.#afterSilence(leaseMs * LATE_LEASES, () =>
      refresh?.reject(unavailable(new Error('no response in time'))),
    );
    try {
      const known = this.#options.knownHead();
      const state = await this.#options.store.read();
      if (this.#isReplaced(state, known)) this.#options.onReplaced();
      await this.#load(state);
      knowledge.loaded(sentAt, state);
      refresh?.resolve();
      return true;
    } catch (error) {
      knowledge.failed();
      refresh?.reject(unavailable(error));
      if (!signal.aborted) logger.warn({ error: String(error) }, 'state of the cluster not read');
      return false;
    } finally {
      cancelSilent();
      cancelLate();
    }
  }

  /** Calls `late` after `ms`, or a moment after this process goes on if it was frozen then. Returns what cancels it. */
  #afterSilence(ms: number, late: () => void): () => void {
    const { clock, leaseMs } = this.#options;
    const waitMs = Math.max(ms, leaseMs * RESPONSE_LEASES);
    const dueAt = clock.monotonic() + waitMs;
    let cancel = clock.after(waitMs, () => {
      const wasFrozen = clock.monotonic() - dueAt > leaseMs * FROZEN_LEASES;
      if (wasFrozen) cancel = clock.after(leaseMs * RESPONSE_LEASES, late);
      else late();
    });
    return () => cancel();
  }

  /** `known`: the head of the log before the state was read. The gateway that leads compares the log by itself. */
  #isReplaced({ head, timeline, rewound }: ClusterSnapshot, known: number): boolean {
    if (this.#options.current.term !== null || rewound !== null) return false;
    return head < known || (this.#state !== null && timeline !== this.#state.timeline);
  }

  async #load(state: ClusterSnapshot): Promise<void> {
    const { loadView, loadCatalog, knownHead, logFeed, onLoaded, follow, current, clock } = this.#options;
    const leads = current.term !== null;
    const isNew = state.view !== this.#state?.view || state.timeline !== this.#state.timeline;
    if (leads) {
      if (isNew) await loadCatalog(state);
    } else if (isNew || this.#followed === null) await loadView(state, this.#followed);
    this.#followed = leads ? null : state;
    if (state.head > knownHead()) this.#othersAppendedAt = clock.monotonic();
    await logFeed.advance(state.head);
    this.#state = state;
    onLoaded(state);
    if (!leads && current.term === null) follow(state);
    const isAlone = state.otherGateways === 0 && this.#options.knowledge.hasOthers;
    if (isAlone) this.#options.onAlone();
    this.#settleSchema(isAlone ? state.head : acknowledgedIn(state));
  }

  #settleSchema(applied: number): void {
    const settled = this.#schemaLSNs.findLast((lsn) => lsn <= applied);
    if (settled === undefined) return;
    this.#options.raiseSchemaFloor(settled);
    this.#schemaLSNs = this.#schemaLSNs.filter((lsn) => lsn > applied);
  }
}

/** What the primary has applied may have been acknowledged through any gateway. */
function acknowledgedIn({ primary, nodes, decided }: ClusterSnapshot): number {
  return Math.max(decided, nodes.find(({ id }) => id === primary)?.checkpoint ?? 0);
}

const unavailable = (cause: unknown): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'PostgreSQL cannot be asked for the present state of the cluster. Nothing was changed. Try again; reads at level eventual are served.',
    { cause },
  );
