// Applies the log to one node, in rounds: each begins at the checkpoint plus one (I1) and is durably checkpointed
// before the next begins (I4).

import type { MergeLimits } from '../chroma/batch/merge.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Entry } from '../log/entry.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { waitForAny, type Notifier } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import { Holds, type Hold } from './hold.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Arbiter } from './arbiter.ts';
import type { Checkpoints, AssignedShard, ShardChange } from './checkpoints.ts';
import { ConditionalDelete, type ConditionalDeleteOptions } from './conditional-delete.ts';
import { DecisionWait, type Primary } from './decision-wait.ts';
import type { Decisions } from './decisions.ts';
import { Delivery } from './delivery.ts';
import { DurableCheckpoint, takeOver } from './durable-checkpoint.ts';
import { EarlierCalls, type Trace } from './earlier-calls.ts';
import type { Endings } from './endings.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { failingEntryOf, type FailingEntry } from './failing-entry.ts';
import { NodeReads } from './node-reads.ts';
import { toOperation } from './entry-operation.ts';
import { needsDecision } from '../chroma/protocol/operation.ts';
import type { Positions } from './positions.ts';
import { RecordCalls } from './record-calls.ts';
import { Recheck } from './recheck.ts';
import { planRound, type Round } from './round.ts';
import { RoundStats } from './round-stats.ts';
import { SerialEntries, type SerialEntriesOptions } from './serial-entry.ts';
import type { Stagger } from './stagger.ts';
import { StoredDocuments } from './stored-documents.ts';
import { suspected, type CopySuspicion } from './suspect-shards.ts';
import type { Trials } from './trials.ts';
import type { Workload } from './workload.ts';

export interface ApplierOptions extends Pick<ConditionalDeleteOptions, 'isKnownSuspect'> {
  readonly node: string;
  /** How often the node has begun again without content. */
  readonly resets: number;
  readonly client: NodeClient;
  readonly clock: Clock;
  readonly logBuffer: Pick<LogBuffer, 'head' | 'next' | 'peek'>;
  readonly positions: Positions;
  readonly checkpoints: Pick<Checkpoints, 'save' | 'assigned' | 'suspect'>;
  readonly decisions: Pick<
    Decisions,
    'find' | 'record' | 'recorded' | 'addPage' | 'idPages' | 'isQuarantined' | 'exception'
  >;
  readonly workload: Workload;
  readonly stagger: Pick<Stagger, 'turn'>;
  readonly trials: Trials;
  readonly arbiter: Pick<Arbiter, 'resolve'>;
  readonly endings: Pick<Endings, 'known' | 'onKnown'>;
  /** Failed attempts after which a node counts as having failed an entry. */
  readonly attemptsMax: number;
  /** Why the node's canary fails; null when it succeeds. */
  readonly canary: () => Promise<string | null>;
  readonly limits: () => MergeLimits;
  /** Largest number of entries in the next round; at most ROUND_ENTRIES_MAX. */
  readonly roundEntriesMax: () => number;
  readonly settleMs: number;
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: () => boolean;
  /** Whether the log deletes the collection of a shard, at any later LSN included. */
  readonly isDeleted: (shard: string) => boolean;
  /** The node cannot drop a collection of the log that is deleted. */
  readonly onLeftover: (name: string, error: Error) => void;
  /** Resolves when the append in flight is over; null when there is none. */
  readonly appendInFlight: () => Promise<void> | null;
  /** The node that decides at this moment. */
  readonly primary: () => Primary;
  /** The node that gets entries for the target before any other: the primary, if its copy is healthy. */
  readonly firstOf: (target: string | null) => string | null;
  readonly primaryChanged: Notifier;
  /** PostgreSQL does not accept decisions of this primary. */
  readonly onNotPrimary: (primary: Primary) => void;
  /** This node cannot decide the entry at `lsn`. Whether another node becomes primary in its place. */
  readonly stepDown: (lsn: number) => boolean;
  /** Makes this node's copy of a shard suspect, durably, before anything is served from it (I8). */
  readonly suspect: (shard: string, reason: string, term: Term) => Promise<void>;
  /** A long call is about to be sent; durable before it goes. */
  readonly announce: (lsn: number, untilMs: number, term: Term) => Promise<void>;
  readonly onLong: (isLong: boolean) => void;
  /** Resolves soon, when the reads that the node has been sent have ended. */
  readonly readsEnded: () => Promise<void>;
  readonly onTrouble: (error: Error) => void;
  readonly onSchemaApplied: () => void;
  readonly isAside: SerialEntriesOptions['isAside'];
  readonly holdsAside: SerialEntriesOptions['holdsAside'];
  /** Whether the node's copy shows an effect of a quarantined entry; null when that cannot be determined. */
  readonly showsEffect: (shard: AssignedShard, entry: Entry, term: Term) => Promise<boolean | null>;
  /** The average size of some documents of the shard on the node, in bytes; 0 when none can be read. */
  readonly sampleDocuments: (shard: AssignedShard) => Promise<number>;
  /** What the node's copy shows of an entry; see Trace. */
  readonly trace: (shard: AssignedShard, entry: Entry) => Promise<Trace>;
  /** Whether no other node has a healthy copy of the shard. */
  readonly isLastCopy: (shard: string) => boolean;
  /** Compares the node's content with the log, while no call is in flight. Its shards then; null: not compared. */
  readonly recheck: () => Promise<ReadonlyMap<string, AssignedShard> | null>;
}

// A round takes at most one second of a stock server's work; more would only delay its checkpoint. Its bytes are held
// in memory per node, in addition to the log buffer.
export const ROUND_ENTRIES_MAX = 1_024;
const ROUND_BYTES_MAX = 8 * 1024 * 1024;
const ROUND_WORK_MAX = 1;
// Clients whose writes one call applied get their responses together and send their next writes within milliseconds. If
// the first of these started a round at once, the rest would need a second call, and a call for 64 records costs a
// server what seven single ones do (docs/performance.md). So a round after a batched one waits for the appends in
// flight, each for as long as a healthy PostgreSQL needs, unless more entries are queued than last time.
const BATCHED_FROM = 8;
const BATCHED_MAX = 1.5;
const APPENDS_MAX = 3;
const APPEND_MS_MAX = 10;

export class Applier {
  readonly #options: ApplierOptions;
  readonly #delivery: Delivery;
  readonly #serial: SerialEntries;
  readonly #records: RecordCalls;
  readonly #durable: DurableCheckpoint;
  /** Every shard assigned to this node, suspect ones included. */
  #assigned = new Map<string, AssignedShard>();
  #checkpoint = 0;
  /** Entries read for the last round that did not fit into it. */
  #unused: Entry[] = [];
  /** Entries that were available for the last round. */
  #roundEntries = 0;
  #oldestPendingAt: number | null = null;
  #mark: { lsn: number; token: string } | null = null;
  readonly #recheck: Recheck;
  readonly #earlier = new EarlierCalls(ROUND_ENTRIES_MAX);
  readonly rounds = new RoundStats();
  readonly #holds = new Holds();

  constructor(options: ApplierOptions) {
    this.#options = options;
    const delivery = new Delivery({ ...options, onDuplicate: (boundMs) => this.#recheck.later(boundMs) });
    this.#recheck = new Recheck(options.clock);
    const reads = new NodeReads(options);
    const waits = new DecisionWait(options);
    const stored = new StoredDocuments(options.sampleDocuments);
    const deletes = new ConditionalDelete({ ...options, delivery, reads, waits, stored });
    this.#delivery = delivery;
    this.#durable = new DurableCheckpoint(options);
    this.#serial = new SerialEntries({ ...options, delivery, reads, waits, deletes });
    this.#records = new RecordCalls({ ...options, delivery, reads, stored });
  }

  /** The last LSN whose round is durably checkpointed. */
  get checkpoint(): number {
    return this.#checkpoint;
  }

  /** The checkpoint with the token of its entry, for the marker; null before the first round, and until a recheck. */
  get mark(): { lsn: number; token: string } | null {
    return this.#recheck.isScheduled ? null : this.#mark;
  }

  /** Whether a delayed duplicate of a call may have changed the content since it was compared with the log. */
  get awaitsRecheck(): boolean {
    return this.#recheck.isScheduled;
  }

  /** Entries and ms this node is behind the head; ms is null before the first entry was read. */
  lag(now: number): { entries: number; ms: number | null } {
    const { logBuffer, positions, node } = this.#options;
    const entries = Math.max(0, logBuffer.head - positions.applied(node));
    if (entries === 0) return { entries, ms: 0 };
    return { entries, ms: this.#oldestPendingAt === null ? null : Math.max(0, now - this.#oldestPendingAt) };
  }

  /** The entry that keeps failing on the node; null when there is none. */
  get failing(): FailingEntry | null {
    return failingEntryOf(this.#options);
  }

  /** Called once the suspicion is durable: the shard's entries are skipped, and nothing is decided from it. */
  markSuspect(shard: string, suspicion: CopySuspicion): void {
    const assigned = this.#assigned.get(shard);
    if (assigned !== undefined) this.#assigned.set(shard, suspected(assigned, suspicion));
  }

  /** LSN up to which entries, of the shard only or any, may have been sent; null when it has not followed the log in this term. */
  offeredTo({ epoch }: Term, shard?: string): number | null {
    const to = this.#earlier.to(epoch);
    const ofShard =
      shard === undefined ? 0 : this.#options.positions.mayHaveApplied(this.#options.node, shard);
    return to === null ? null : Math.max(to, this.#checkpoint, this.#records.sentTo, ofShard);
  }

  /** What the node's content says about an entry that an earlier leader may have sent. */
  trace(entry: Entry): Promise<Trace> {
    const shard = entry.target === null ? undefined : this.#assigned.get(entry.target);
    return this.#earlier.trace(entry, this.#checkpoint, async () =>
      shard === undefined ? 'unknown' : this.#options.trace(shard, entry),
    );
  }

  /** Stops it between two rounds; null when `signal` aborts first. */
  hold(signal: AbortSignal): Promise<Hold | null> {
    return this.#holds.hold(signal);
  }

  /** PostgreSQL may lack the last checkpoint: it is recorded again before the next round. */
  uncertainCheckpoint(): void {
    this.#durable.becomesUncertain();
  }

  get callsInFlight(): number {
    return this.#delivery.inFlight;
  }

  /** The node's process is gone: calls of unknown outcome are no longer being executed. */
  processGone(): void {
    this.#delivery.processGone();
    this.#options.trials.died(this.#options.node);
  }

  /** The calls in flight have exceeded their bound: each counts as a failed attempt of its entries. */
  callsOverdue(): void {
    const { workload, trials, node } = this.#options;
    const body = Buffer.from('no response within the bound of the call');
    for (const { lsns } of workload.inFlight) trials.failed(node, lsns, { kind: 'hung', status: 0, body });
  }

  /** Resolves when every call has a response or its connection has ended. */
  callsEnded(): Promise<void> {
    return this.#delivery.ended();
  }

  /**
   * Follows the log until the term is over. `unknownMs`: for so long a call of an earlier leader may still be executed;
   * null when there can be none. Throws LogDamaged when the log cannot be trusted beyond the checkpoint.
   */
  async run(
    term: Term,
    start: { checkpoint: number; assigned: ReadonlyMap<string, AssignedShard> },
    unknownMs: number | null,
  ): Promise<void> {
    const { node, positions } = this.#options;
    try {
      await this.#delivery.idle(term);
      this.#checkpoint = start.checkpoint;
      this.#unused = [];
      this.#earlier.begin(term.epoch, start.checkpoint, this.#options.logBuffer);
      if (unknownMs !== null) this.#delivery.assumeCallsInFlight(unknownMs);
      if (unknownMs !== null) this.#earlier.label(node, start.checkpoint, positions);
      this.#assigned = new Map(start.assigned);
      this.#durable.isRead();
      positions.nodeApplied(node, start.checkpoint);
      while (!term.signal.aborted) await this.#round(term);
    } catch (error) {
      if (!(error instanceof TermOver)) throw error;
    }
  }

  /** Between rounds, so that nothing changes during the comparison. */
  async #recheckIfDue(): Promise<void> {
    if (!this.#recheck.isDue) return;
    const assigned = await this.#options.recheck();
    if (assigned === null) return this.#recheck.later(0);
    this.#assigned = takeOver(this.#assigned, assigned);
    this.#recheck.done();
  }

  /** The next entries that this node may apply; none when the term is over, or something is due between two rounds. */
  async #next(term: Term): Promise<Entry[]> {
    const { logBuffer, positions, primaryChanged, decisions, roundEntriesMax } = this.#options;
    const { controller, unlink } = linkedAbort(term.signal);
    const { signal } = controller;
    if (this.#recheck.isScheduled) void this.#recheck.wait(signal).then(() => controller.abort());
    if (this.#holds.isRequested || this.#durable.isUncertain) controller.abort();
    for (const wanted of [this.#holds, this.#durable])
      void wanted.wait(signal).then(() => controller.abort());
    try {
      while (!signal.aborted) {
        const isRead = this.#unused[0]?.lsn === this.#checkpoint + 1;
        const entries = isRead
          ? this.#unused
          : await logBuffer.next(this.#checkpoint, roundEntriesMax(), ROUND_BYTES_MAX, signal);
        const allowed = this.#allowed(entries);
        if (allowed.length > 0) return allowed;
        await waitForAny([positions.moved, primaryChanged, decisions.recorded], signal);
      }
      return [];
    } finally {
      controller.abort();
      unlink();
    }
  }

  /**
   * Entries that no other node has applied go to one node only, the primary unless its copy is suspect: one that breaks
   * servers reaches one of them, and after it one more (arbiter.ts).
   */
  #allowed(entries: Entry[]): Entry[] {
    const end = entries.findIndex((entry) => !this.#isAllowed(entry));
    return end === -1 ? entries : entries.slice(0, end);
  }

  #isAllowed(entry: Entry): boolean {
    const { node, primary, positions, trials, decisions, firstOf } = this.#options;
    const { lsn, target } = entry;
    const operation = toOperation(entry);
    const isRecords = operation.type === 'records' && !operation.call.conditional;
    // What only the primary can decide is its own, whatever its copy: it finds out that it cannot, and steps down.
    if ((isRecords ? firstOf(target) : primary().node) === node) return true;
    if (trials.of(lsn).has(node) || decisions.exception(lsn) !== null || this.#maySkip(entry)) return true;
    return positions.isAppliedElsewhere(node, lsn, { shard: target ?? '', onHealthy: isRecords });
  }

  /** Under load, entries whose append is in flight join the round. */
  async #batch(entries: Entry[], term: Term): Promise<Entry[]> {
    const { logBuffer, clock, appendInFlight } = this.#options;
    const enough = this.#roundEntries < BATCHED_FROM ? 0 : this.#roundEntries * BATCHED_MAX;
    let batched = entries;
    for (let appends = 0; appends < APPENDS_MAX && batched.length < enough; appends++) {
      const append = appendInFlight();
      // No append joins a round that does not reach the head.
      if (append === null || term.signal.aborted || batched.at(-1)?.lsn !== logBuffer.head) break;
      await Promise.race([append, sleep(clock, APPEND_MS_MAX, term.signal)]);
      batched = await this.#next(term);
    }
    this.#roundEntries = batched.length;
    return batched;
  }

  async #round(term: Term): Promise<void> {
    const { logBuffer, limits, decisions, trials, checkpoints, clock, node } = this.#options;
    await this.#recheckIfDue();
    await this.#durable.saveAgain(this.#checkpoint, this.#assigned, term);
    if (await this.#holds.released(this.#checkpoint, term.signal))
      this.#assigned = takeOver(this.#assigned, await checkpoints.assigned(node));
    if (term.signal.aborted) return;
    const entries = await this.#batch(await this.#next(term), term);
    const first = entries[0];
    if (first === undefined) return;
    const since = clock.monotonic();
    this.#oldestPendingAt = first.appendedAt;
    const round = planRound(entries, {
      limits: limits(),
      workMax: ROUND_WORK_MAX,
      skips: (entry) => decisions.isQuarantined(entry.lsn) || this.#maySkip(entry),
      isolates: ({ lsn }) => trials.isIsolated(lsn) || decisions.exception(lsn) !== null,
    });
    const changes = await this.#apply(round, term);
    await this.#readBack(entries, round.upTo, term);
    crashPoint('checkpoint_before');
    await this.#durable.save(round.upTo, changes, term);
    crashPoint('checkpoint_after');
    this.#checkpoint = round.upTo;
    this.rounds.observe(round.upTo - first.lsn + 1, clock.monotonic() - since);
    // Entries still in the log buffer are taken from there again, with those appended since.
    const isInMemory = logBuffer.peek(round.upTo + 1) !== null;
    this.#unused = isInMemory ? [] : entries.slice(round.upTo - first.lsn + 1);
    this.#mark = { lsn: round.upTo, token: entries[round.upTo - first.lsn]!.batch };
    this.#options.positions.nodeApplied(this.#options.node, round.upTo);
    if (round.type === 'alone') this.#options.onSchemaApplied();
  }

  async #apply(round: Round, term: Term): Promise<readonly ShardChange[]> {
    if (round.type === 'alone') return this.#serial.apply(round.entry, round.operation, this.#assigned, term);
    // All calls of a failed round are awaited: none may be in flight when the next round is planned.
    const calls = round.calls.map((call) => this.#records.apply(call, this.#assigned, term));
    const failed = (await Promise.allSettled(calls)).find((call) => call.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return [];
  }

  /** I8: an entry that was quarantined after this node was offered it may have had an effect here. */
  async #readBack(entries: readonly Entry[], upTo: number, term: Term): Promise<void> {
    const { decisions, trials, node, showsEffect, isLastCopy, suspect } = this.#options;
    const offeredTo = this.offeredTo(term) ?? 0;
    for (const entry of entries) {
      const { lsn, target } = entry;
      if (lsn > upTo || !decisions.isQuarantined(lsn)) continue;
      const wasOffered = lsn <= offeredTo || trials.of(lsn).has(node);
      const shard = target === null ? undefined : this.#assigned.get(target);
      if (!wasOffered || target === null || shard === undefined || shard.suspect !== null) continue;
      // The last healthy copy stays in use, whatever it shows: there is no better one. Other nodes read back meanwhile.
      if ((await showsEffect(shard, entry, term)) === false || isLastCopy(target)) continue;
      await suspect(target, `may have applied LSN ${lsn}, which is quarantined`, term);
    }
  }

  /**
   * A suspect copy waits for its rebuild, so entries for it are skipped; so are those that are in the copy already. An
   * entry that only the primary can decide is not skipped before it is decided: this node may become the primary, and
   * would never decide it.
   */
  #maySkip(entry: Entry): boolean {
    const shard = entry.target === null ? undefined : this.#assigned.get(entry.target);
    if (shard === undefined || needsDecision(toOperation(entry))) return false;
    return shard.suspect !== null || entry.lsn <= shard.fromLSN;
  }
}
