// Brings one node along the log, in rounds. It takes nothing but its checkpoint plus one (I1), and each round is
// durably checkpointed before the next begins (I4).

import type { MergeLimits } from '../chroma/merge.ts';
import { effectFree } from '../chroma/node-api.ts';
import type { NodeClient, NodeResponse } from '../chroma/node-client.ts';
import type { Term } from '../cluster/lease.ts';
import type { Entry } from '../log/entry.ts';
import type { Tail } from '../log/tail.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Checkpoints, HeldShard, ShardChange } from './checkpoints.ts';
import { Delivery, type RepeatedCall, orOver, TermOver } from './delivery.ts';
import { needsDecision, toOperation } from './operation.ts';
import { halves, planRound, type ShardCall } from './round.ts';
import { recordsRequest, SoloEntries, type SoloContext } from './solo.ts';

/** What to do with an entry the node refused although it passed every check. */
export type Verdict =
  | 'repeat' // the node is at fault for now
  | 'skip' // quarantined: sound nodes refuse it alike
  | 'suspect'; // others took it: this node's shard is not what it should be

export interface ApplierOptions extends SoloContext {
  readonly node: string;
  readonly client: NodeClient;
  readonly clock: Clock;
  readonly tail: Tail;
  readonly checkpoints: Pick<Checkpoints, 'save'>;
  readonly limits: () => MergeLimits;
  readonly settleMs: number;
  /** Resolves when the append in hand is over; null when there is none. */
  readonly appendUnderWay: () => Promise<void> | null;
  readonly isQuarantined: (lsn: number) => boolean;
  /** Judges a refusal that should not have been; may take as long as other nodes need to show theirs. */
  readonly arbitrate: (entry: Entry, response: NodeResponse, term: Term) => Promise<Verdict>;
  readonly onTrouble: (error: Error) => void;
  /** Told now and then of a call that is sent again and again in vain. */
  readonly onRepeated: (call: RepeatedCall) => void;
  /** Holds the node's content against the log, no call being under way; what it holds then, null: it could not be told. */
  readonly recheck: () => Promise<ReadonlyMap<string, HeldShard> | null>;
}

// A round takes what one second of a stock server's work is at most; more would only delay its checkpoint. Every node's
// round holds its bytes, beside the end of the log.
export const ROUND_ENTRIES_MAX = 1_024;
const ROUND_BYTES_MAX = 8 * 1024 * 1024;
// Callers whose writes one call applied are answered together and come back together, over a few milliseconds. Taken
// at once, the first of them would make a call alone, and the rest another: a call for 64 records costs a server what
// seven single ones do (docs/performance.md). So a round that follows one of many entries waits for the appends under
// way, each as long as a healthy PostgreSQL may need, unless there is more at hand than last time.
const GATHERED_FROM = 8;
const GATHERED_MAX = 1.5;
const APPENDS_MAX = 3;
const APPEND_MS_MAX = 10;
const PAUSE_MS = 200;
// A call that broke off and is executed after all is executed within moments; by then it has been.
const RECHECK_MS = 5_000;

interface Recheck {
  isDue: boolean;
}

export class Applier {
  readonly #options: ApplierOptions;
  readonly #delivery: Delivery;
  readonly #solo: SoloEntries;
  /** Every shard this node holds, the suspect ones included. */
  #held = new Map<string, HeldShard>();
  #checkpoint = 0;
  /** Read from the log for the last round, which was full before them. */
  #unused: Entry[] = [];
  /** Entries that were at hand for the last round. */
  #roundEntries = 0;
  #oldestPendingAt: number | null = null;
  #mark: { lsn: number; token: string } | null = null;
  /** The node is to be read back; null: no call of it has broken off since it was. */
  #recheck: Recheck | null = null;
  readonly #recheckDue = new Notifier();
  /** Entries whose call went out and has no final answer: a term may end, and their call go on. */
  readonly #unanswered = new Set<number>();

  constructor(options: ApplierOptions) {
    this.#options = options;
    const { client, clock, settleMs, onTrouble, onRepeated } = options;
    const onTwin = (): void => this.#recheckLater();
    this.#delivery = new Delivery({ client, clock, settleMs, onTrouble, onTwin, onRepeated });
    this.#solo = new SoloEntries(options, this.#delivery);
  }

  /** The last LSN whose round is durably checkpointed. */
  get checkpoint(): number {
    return this.#checkpoint;
  }

  /**
   * The checkpoint with the token of its entry, for the marker; null before the first round of this process, and while
   * a recheck is due: what is looked at then is what the log holds after the marker.
   */
  get mark(): { lsn: number; token: string } | null {
    return this.#recheck === null ? this.#mark : null;
  }

  /** I8: a late twin is not prevented, so its traces are looked for once it has had its time. */
  #recheckLater(): void {
    const due: Recheck = { isDue: false };
    this.#recheck = due;
    this.#options.clock.after(RECHECK_MS, () => {
      due.isDue = true;
      this.#recheckDue.notify();
    });
  }

  /** Between rounds, so that the node stands still while it is looked at. */
  async #recheckIfDue(): Promise<void> {
    if (this.#recheck?.isDue !== true) return;
    const held = await this.#options.recheck();
    if (held === null) return this.#recheckLater();
    this.#held = new Map(held);
    this.#recheck = null;
  }

  /** Entries and ms this node is behind the head; ms is null before the first entry was looked at. */
  lag(now: number): { entries: number; ms: number | null } {
    const entries = Math.max(
      0,
      this.#options.tail.head - this.#options.positions.applied(this.#options.node),
    );
    if (entries === 0) return { entries, ms: 0 };
    return { entries, ms: this.#oldestPendingAt === null ? null : Math.max(0, now - this.#oldestPendingAt) };
  }

  /** The call that was sent to the node in vain most often, and still is, for so many ms; null when there is none. */
  get repeated(): (Omit<RepeatedCall, 'sinceMs'> & { target: string | null; ms: number }) | null {
    const { repeated } = this.#delivery;
    if (repeated === null) return null;
    const { clock, tail } = this.#options;
    const { sinceMs, ...call } = repeated;
    const target = tail.peek(call.from)?.target ?? null;
    return { ...call, target, ms: Math.round(clock.monotonic() - sinceMs) };
  }

  /** The shard is suspect on this node, and that is durable: it takes nothing more of it, and decides nothing from it. */
  doubt(shard: string, reason: string): void {
    const held = this.#held.get(shard);
    if (held?.suspect === null) this.#held.set(shard, { ...held, suspect: reason });
  }

  get callsInFlight(): number {
    return this.#delivery.inFlight;
  }

  /** Nothing listens where the node was: no call that went unanswered is at work any more. */
  processGone(): void {
    this.#delivery.processGone();
  }

  /** Resolves when the node has answered everything it was sent, or the connections have ended. */
  callsEnded(): Promise<void> {
    return this.#delivery.ended();
  }

  /**
   * Follows the log until the term is over. `distrust`: whoever led before may have left a call at work in the node.
   * Throws LogDamaged when the log cannot be trusted beyond the checkpoint.
   */
  async run(
    term: Term,
    start: { checkpoint: number; held: ReadonlyMap<string, HeldShard> },
    distrust: boolean,
  ): Promise<void> {
    try {
      await this.#delivery.idle(term);
      if (distrust) this.#delivery.distrust();
      this.#checkpoint = start.checkpoint;
      this.#unused = [];
      for (const lsn of this.#unanswered) if (lsn <= start.checkpoint) this.#unanswered.delete(lsn);
      this.#held = new Map(start.held);
      this.#options.positions.nodeApplied(this.#options.node, start.checkpoint);
      while (!term.signal.aborted) await this.#round(term);
    } catch (error) {
      if (!(error instanceof TermOver)) throw error;
    }
  }

  /** The next entries; none when the term is over or a recheck is due. */
  async #next(tail: Tail, term: Term): Promise<Entry[]> {
    if (this.#unused[0]?.lsn === this.#checkpoint + 1) return this.#unused;
    if (this.#recheck === null) {
      return tail.next(this.#checkpoint, ROUND_ENTRIES_MAX, ROUND_BYTES_MAX, term.signal);
    }
    const due = new AbortController();
    const signal = AbortSignal.any([term.signal, due.signal]);
    void this.#recheckDue.wait(signal).then(() => due.abort());
    try {
      return await tail.next(this.#checkpoint, ROUND_ENTRIES_MAX, ROUND_BYTES_MAX, signal);
    } finally {
      due.abort();
    }
  }

  /** Under load, what is becoming durable at this moment joins the round. */
  async #gather(entries: Entry[], term: Term): Promise<Entry[]> {
    const { tail, clock, appendUnderWay } = this.#options;
    const enough = this.#roundEntries < GATHERED_FROM ? 0 : this.#roundEntries * GATHERED_MAX;
    let gathered = entries;
    for (let appends = 0; appends < APPENDS_MAX && gathered.length < enough; appends++) {
      const append = appendUnderWay();
      // Nothing joins a round that did not take all there is already.
      if (append === null || term.signal.aborted || gathered.at(-1)?.lsn !== tail.head) break;
      await Promise.race([append, sleep(clock, APPEND_MS_MAX, term.signal)]);
      gathered = await this.#next(tail, term);
    }
    this.#roundEntries = gathered.length;
    return gathered;
  }

  async #round(term: Term): Promise<void> {
    const { tail, isQuarantined, limits } = this.#options;
    await this.#recheckIfDue();
    const entries = await this.#gather(await this.#next(tail, term), term);
    const first = entries[0];
    if (first === undefined) return;
    this.#oldestPendingAt = first.appendedAt;
    const passes = (entry: Entry): boolean => isQuarantined(entry.lsn) || this.#mayPass(entry);
    const round = planRound(entries, limits(), passes);
    await this.#doubtQuarantined(entries, round.upTo, term);
    let changes: readonly ShardChange[] = [];
    if (round.type === 'records') {
      // Both sides of a failed round are awaited: no call may be left running when the next round is planned.
      const calls = await Promise.allSettled(round.calls.map((call) => this.#records(call, term)));
      const failed = calls.find((call) => call.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } else {
      changes = await this.#solo.apply(round.entry, round.operation, this.#held, term);
    }
    crashPoint('checkpoint_before');
    await this.#saveCheckpoint(round.upTo, changes, term);
    crashPoint('checkpoint_after');
    this.#checkpoint = round.upTo;
    this.#delivery.passed(round.upTo);
    // What is in memory is taken from there again, with all that has come since.
    const isInMemory = tail.peek(round.upTo + 1) !== undefined;
    this.#unused = isInMemory ? [] : entries.slice(round.upTo - first.lsn + 1);
    this.#mark = { lsn: round.upTo, token: entries[round.upTo - first.lsn]!.batch };
    this.#options.positions.nodeApplied(this.#options.node, round.upTo);
    if (round.type === 'alone') this.#options.onSchemaApplied();
  }

  async #records(call: ShardCall, term: Term): Promise<void> {
    const held = this.#held.get(call.shard);
    const lsns = call.members.map(({ entry }) => entry.lsn);
    // The entry passed the log, so the shard was created before it; a node without it has lost its memory of it.
    if (held === undefined) return this.#options.suspect(call.shard, 'the node has no such shard', term);
    // Another part of the same call has made it so.
    if (held.suspect !== null) return;
    const { kind } = call.members[0]!.operation.call;
    const request = recordsRequest(held, kind, call.merger.chunks());
    for (const lsn of lsns) this.#unanswered.add(lsn);
    const response = await this.#delivery.call(
      request,
      lsns,
      ({ status, body }) => effectFree(kind, status, body),
      term,
    );
    for (const lsn of lsns) this.#unanswered.delete(lsn);
    if (response.status >= 200 && response.status < 300) {
      const { isQuarantined } = this.#options;
      const refused = lsns.find((lsn) => isQuarantined(lsn));
      // Others refused it while this node was at it (I8).
      if (refused !== undefined)
        return this.#options.suspect(call.shard, `took LSN ${refused}, which is quarantined`, term);
      return this.#options.positions.shardApplied(this.#options.node, call.shard, lsns);
    }
    if (call.members.length > 1) {
      // Only answers without effect come here, so the halves start from the state the whole did.
      for (const half of halves(call, this.#options.limits())) await this.#records(half, term);
      return;
    }
    await this.#refusedAlone(call, response, term);
  }

  async #refusedAlone(call: ShardCall, response: NodeResponse, term: Term): Promise<void> {
    const { entry } = call.members[0]!;
    const verdict = await this.#options.arbitrate(entry, response, term);
    if (verdict === 'skip') return;
    if (verdict === 'suspect') {
      const reason = `refused LSN ${entry.lsn} with HTTP ${response.status}, which other nodes took`;
      return this.#options.suspect(call.shard, reason, term);
    }
    this.#delivery.sentInVain([entry.lsn], new Error(`refused with HTTP ${response.status}`));
    await sleep(this.#options.clock, PAUSE_MS, term.signal);
    await this.#records(call, term);
  }

  /** I8: what was quarantined while its call was out here may have been taken, with nobody to hear the answer. */
  async #doubtQuarantined(entries: readonly Entry[], upTo: number, term: Term): Promise<void> {
    if (this.#unanswered.size === 0) return;
    for (const { lsn, target } of entries) {
      if (lsn > upTo || !this.#unanswered.has(lsn) || !this.#options.isQuarantined(lsn)) continue;
      if (target !== null) {
        await this.#options.suspect(target, `may have taken LSN ${lsn}, which is quarantined`, term);
      }
      this.#unanswered.delete(lsn);
    }
  }

  /**
   * A suspect shard waits to be rebuilt; entries for it would change nothing that may be served. What only the primary
   * can decide nobody passes by before it is decided: whoever did might be the primary next, and never decide it.
   */
  #mayPass(entry: Entry): boolean {
    return this.#isSuspect(entry.target) && !needsDecision(toOperation(entry));
  }

  #isSuspect(target: string | null): boolean {
    return target !== null && (this.#held.get(target)?.suspect ?? null) !== null;
  }

  /** Makes the checkpoint durable; while PostgreSQL does not answer, the node rests. */
  async #saveCheckpoint(lsn: number, changes: readonly ShardChange[], term: Term): Promise<void> {
    const { checkpoints, node, clock, onTrouble } = this.#options;
    for (;;) {
      if (!term.held()) throw new TermOver();
      try {
        return await orOver(checkpoints.save(term.epoch, node, lsn, changes), term);
      } catch (error) {
        if (error instanceof TermOver) throw error;
        onTrouble(error as Error);
        await sleep(clock, PAUSE_MS, term.signal);
      }
    }
  }
}
