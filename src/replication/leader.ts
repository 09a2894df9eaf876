// What the leader does with its term: admits nodes, runs an applier for each, chooses the primary, keeps markers.

import type { Admission } from '../nodes/admission.ts';
import type { Applier } from './applier.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Primary } from './decision-wait.ts';
import type { Decisions } from './decisions.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import { orOver, TermOver } from '../coordination/term.ts';
import { ForeignContent } from './node-faults.ts';
import type { Positions } from './positions.ts';
import type { Stagger } from './stagger.ts';
import type { Trials } from './trials.ts';
import type { Term } from '../coordination/term.ts';
import type { Member } from '../nodes/node.ts';
import { canServe, choosePrimary, follows } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import { LogDamaged, LogTrimmed } from '../log/entry.ts';
import type { Head } from '../log/postgres-log.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import type { Logger } from '../util/logger.ts';
import { Notifier } from '../util/notifier.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';

/** A node with everything that moves it. */
export interface Follower {
  readonly member: Member;
  readonly applier: Applier;
  readonly admission: Admission;
}

export interface LeaderOptions {
  /** Where others learn of the term. */
  readonly current: CurrentTerm;
  readonly followers: readonly Follower[];
  readonly head: () => Promise<Head>;
  readonly logBuffer: LogBuffer;
  readonly positions: Positions;
  readonly checkpoints: Checkpoints;
  readonly decisions: Decisions;
  readonly trials: Pick<Trials, 'load' | 'forget'>;
  readonly stagger: Pick<Stagger, 'reconsider'>;
  readonly nodes: NodeStore;
  readonly refreshCatalog: () => Promise<void>;
  readonly primaryChanged: Notifier;
  readonly clock: Clock;
  readonly logger: Logger;
}

// How often nodes are looked at for having become level, and their markers for being behind.
const LEVEL_MS = 100;
// A node is level when it has applied what the log held this long ago. Under writes that never pause it is always some
// rounds behind, and a round on a slow node takes a second or two; which reads it is far enough for is asked each time.
const LEVEL_LAG_MS = 5_000;
const MARKER_MS = 1_000;
const RETRY_MS = 200;
// How long a term that is over waits for the answers to its last calls: a healthy node needs less for its largest.
const HAND_OVER_MS = 2_000;
// At the very first start the preferred primary gets this long to appear before another is chosen.
const FIRST_CHOICE_MS = 5_000;

export class Leader {
  readonly #options: LeaderOptions;
  #primary: Primary = { node: null, generation: 0 };
  #rewound: string | null = null;
  /** By node: the entry it could not decide in this term. Once past it, it is as good as any other. */
  readonly #unfit = new Map<string, number>();
  readonly #steppedDown = new Notifier();
  /** By node: the damaged entry its applier stands before. */
  readonly #damaged = new Map<string, LogDamaged>();
  /** By node: admissions and marker writes it has not answered; a node that hangs may never do so. */
  readonly #unanswered = new Map<string, Set<Promise<unknown>>>();

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  /** The term this gateway leads in; null while it does not. */
  get term(): Term | null {
    return this.#options.current.term;
  }

  /** Who decides; kept after the term as the last known. */
  get primary(): Primary {
    return this.#primary;
  }

  /** Why the log cannot be continued; null while it can. */
  get halted(): string | null {
    if (this.#rewound !== null) return this.#rewound;
    for (const { member, applier } of this.#options.followers) {
      const damage = this.#damaged.get(member.id);
      const waits = member.state === 'joining' || member.state === 'down';
      const stands = waits || (follows(member.state) && applier.checkpoint < (damage?.lsn ?? 0));
      if (damage !== undefined && stands) return damage.message;
    }
    return null;
  }

  /** Leads until the term is over; resolves when nothing it began can take another step. */
  async lead(term: Term): Promise<void> {
    const { followers, decisions, trials, logger, clock } = this.#options;
    const head = await this.#begin(term);
    if (head === null) return;
    await Promise.all([
      decisions.load(),
      trials.load(term.epoch),
      ...followers.map(({ admission }) => admission.load(head.cluster)),
    ]);
    if (this.#rewound === null) this.#options.current.begin(term);
    logger.info({ epoch: term.epoch, head: head.lsn, primary: head.primary }, 'this gateway leads');
    await Promise.all([
      ...followers.map((follower) => this.#drive(follower, term, head)),
      this.#keepPrimary(term),
      this.#keepLevel(term),
      ...followers.map((follower) => this.#keepMarker(follower, term, head)),
    ]);
    this.#options.current.end();
    await this.#handOver();
    logger.info({ epoch: term.epoch, at: clock.now() }, 'this gateway no longer leads');
  }

  /** Resolves when every serving node has its checkpoint at the end of the log, or after `limitMs`. */
  async level(limitMs: number): Promise<void> {
    const { followers, logBuffer, positions, clock } = this.#options;
    const limit = new AbortController();
    const cancel = clock.after(limitMs, () => limit.abort());
    const isLevel = (): boolean =>
      followers.every(({ member, applier }) => !canServe(member.state) || applier.checkpoint >= logBuffer.head);
    while (this.term !== null && !limit.signal.aborted && !isLevel())
      await positions.moved.wait(limit.signal);
    cancel();
  }

  /** Throws when a node still has a call of this term at work: the lease must then not be given back as if all was over. */
  async #handOver(): Promise<void> {
    const { followers, clock } = this.#options;
    const ended = followers.flatMap(({ member, applier }) => [
      applier.callsEnded(),
      this.#answered(member.id),
    ]);
    await Promise.race([Promise.all(ended), sleep(clock, HAND_OVER_MS)]);
    const isBusy = ({ member, applier }: Follower): boolean =>
      applier.callsInFlight > 0 || (this.#unanswered.get(member.id)?.size ?? 0) > 0;
    const busy = followers.filter(isBusy).map(({ member }) => member.id);
    if (busy.length > 0) throw new Error(`calls of this term are still at work in ${busy.join(', ')}`);
  }

  async #begin(term: Term): Promise<Head | null> {
    const { head, logBuffer, positions, refreshCatalog, followers, clock, logger } = this.#options;
    while (!term.signal.aborted) {
      try {
        const now = await head();
        // What others who led put in doubt meanwhile counts for no write that still waits here.
        await refreshCatalog();
        // A log that ends before what this gateway has seen of it has lost acknowledged writes.
        this.#rewound =
          now.lsn < logBuffer.head
            ? `the log ends at LSN ${now.lsn}, and had reached ${logBuffer.head}`
            : this.#rewound;
        logBuffer.advance(now.lsn);
        this.#unfit.clear();
        this.#primary = { node: now.primary, generation: now.primaryGeneration };
        positions.setCluster(
          followers.map(({ member }) => member.id),
          now.primary,
        );
        return now;
      } catch (error) {
        logger.warn({ error: String(error) }, 'the log cannot be read');
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
    return null;
  }

  /** Brings one node in and along, for as long as its state allows. */
  async #drive(follower: Follower, term: Term, head: Head): Promise<void> {
    const { logger, clock } = this.#options;
    const { member, admission } = follower;
    let distrust = !term.clean;
    // A log that has lost its newest entries is followed by nobody: what nodes hold beyond it may be all that is left.
    while (!term.signal.aborted && this.#rewound === null) {
      try {
        if (member.state === 'joining')
          await this.#untilOver(member.id, () => admission.admit(term, head), term);
        if (follows(member.state)) {
          await this.#follow(follower, term, distrust);
          distrust = false;
        } else if (member.state === 'joining') await sleep(clock, RETRY_MS, term.signal);
        else await member.changed.wait(term.signal);
      } catch (error) {
        this.#failed(member, error);
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
    logger.debug({ node: member.id }, 'no longer driven');
  }

  /** Runs the applier until the node's state no longer lets it follow, or the term is over. */
  async #follow({ member, applier, admission }: Follower, term: Term, distrust: boolean): Promise<void> {
    const unfollowing = new AbortController();
    const signal = AbortSignal.any([term.signal, unfollowing.signal]);
    const watch = async (): Promise<void> => {
      while (!signal.aborted && follows(member.state)) await member.changed.wait(signal);
      unfollowing.abort();
    };
    const watching = watch();
    const held = (): boolean => term.held() && !signal.aborted && this.#rewound === null;
    try {
      const { checkpoint, busyLSN, busyMs } = await admission.row();
      const start = { checkpoint, held: await this.#options.checkpoints.held(member.id) };
      const isBusy = busyLSN !== null && busyLSN > checkpoint;
      const unknownMs = distrust ? (isBusy ? busyMs : 0) : null;
      await applier.run({ ...term, signal, held }, start, unknownMs);
    } finally {
      unfollowing.abort();
      await watching;
    }
  }

  #failed(member: Member, error: unknown): void {
    if (error instanceof TermOver) return;
    this.#options.logger.error({ node: member.id, error: String(error) }, 'the node cannot be brought along');
    // The node is not at fault, and goes on once the entry is mended.
    if (error instanceof LogDamaged) return this.damaged(member.id, error);
    if (error instanceof ForeignContent || error instanceof LogTrimmed)
      member.on('lost_content', error.message);
    else member.callFailed(error as Error, false);
  }

  async #keepPrimary(term: Term): Promise<void> {
    const { followers, clock, primaryChanged, positions, nodes, logger } = this.#options;
    const members = followers.map(({ member }) => member);
    if (this.#primary.node === null) await this.#awaitPreferred(members, term);
    while (!term.signal.aborted) {
      const watch = new AbortController();
      const signal = AbortSignal.any([term.signal, watch.signal]);
      const changed = Promise.race(
        [...members.map((member) => member.changed), this.#steppedDown].map((each) => each.wait(signal)),
      );
      const fit = followers.filter((follower) => this.#canDecide(follower));
      // Where none of those works, one that refuses what it cannot decide is better than nobody.
      const candidates = (fit.length > 0 ? fit : followers).map(({ member: { id, state } }) => ({
        id,
        state,
        checkpoint: positions.applied(id),
      }));
      const chosen = choosePrimary(candidates, this.#primary.node);
      if (chosen !== null && chosen !== this.#primary.node) {
        try {
          const generation = await nodes.setPrimary(term.epoch, chosen);
          logger.warn({ primary: chosen, before: this.#primary.node, generation }, 'primary chosen');
          this.#primary = { node: chosen, generation };
          positions.setCluster(
            members.map(({ id }) => id),
            chosen,
          );
          primaryChanged.notify();
          this.#options.stagger.reconsider();
        } catch (error) {
          logger.error({ error: String(error) }, 'the primary could not be recorded');
          await sleep(clock, RETRY_MS, term.signal);
          watch.abort();
          continue;
        }
      }
      await changed;
      watch.abort();
    }
  }

  /** The first node of the configuration becomes the first primary, unless it does not come. */
  async #awaitPreferred(members: readonly Member[], term: Term): Promise<void> {
    const { clock } = this.#options;
    const until = clock.monotonic() + FIRST_CHOICE_MS;
    while (members[0]?.state === 'joining' && clock.monotonic() < until && !term.signal.aborted) {
      await sleep(clock, LEVEL_MS, term.signal);
    }
  }

  async #keepLevel(term: Term): Promise<void> {
    const { followers, logBuffer, positions, trials, clock } = this.#options;
    const heads = [logBuffer.head];
    while (!term.signal.aborted) {
      const before = heads[0] ?? 0;
      trials.forget(Math.min(...followers.map(({ applier }) => applier.checkpoint)));
      for (const { member, applier } of followers) {
        // Past the damaged entry: it was mended.
        const mended = applier.checkpoint >= (this.#damaged.get(member.id)?.lsn ?? Infinity);
        if (follows(member.state) && mended) this.#damaged.delete(member.id);
        const level = positions.applied(member.id) >= before && member.canaryWorks;
        if (member.state === 'catching_up' && level) member.on('level', 'has applied the whole log');
      }
      if (heads.push(logBuffer.head) > LEVEL_LAG_MS / LEVEL_MS) heads.shift();
      await sleep(clock, LEVEL_MS, term.signal);
    }
  }

  async #keepMarker({ member, applier, admission }: Follower, term: Term, head: Head): Promise<void> {
    const { clock, nodes, logger } = this.#options;
    while (!term.signal.aborted) {
      await sleep(clock, MARKER_MS, term.signal);
      const mark = applier.mark;
      if (!term.held() || !follows(member.state) || mark === null || mark.lsn <= member.markerLSN) continue;
      try {
        crashPoint('marker_before');
        const progress = { log: head.logId, checkpoint: mark.lsn, token: mark.token };
        await this.#untilOver(member.id, () => admission.writeMarker(progress, term), term);
        crashPoint('marker_after');
        await nodes.marked(term.epoch, member.id, mark.lsn);
        member.markerLSN = mark.lsn;
      } catch (error) {
        if (!(error instanceof TermOver))
          logger.warn({ node: member.id, error: String(error) }, 'no marker written');
      }
    }
  }

  /**
   * Does `work` on a node, or throws TermOver: a node that hangs must not keep a term from ending. What is then still
   * under way is waited for before the same is begun in another term.
   */
  async #untilOver(node: string, work: () => Promise<void>, term: Term): Promise<void> {
    await orOver(this.#answered(node), term);
    const begun = work();
    const unanswered = this.#unanswered.get(node) ?? new Set();
    this.#unanswered.set(node, unanswered);
    const ended = begun.catch(() => undefined).finally(() => unanswered.delete(ended));
    unanswered.add(ended);
    await orOver(begun, term);
  }

  async #answered(node: string): Promise<void> {
    const unanswered = this.#unanswered.get(node);
    if (unanswered !== undefined) await Promise.all(unanswered);
  }

  /** Called when a node cannot decide the entry at `lsn`; whether another node will be primary, as matters stand. */
  stepDown(node: string, lsn: number): boolean {
    const others = this.#options.followers.filter(({ member }) => member.id !== node);
    if (!others.some((follower) => this.#canDecide(follower))) return false;
    if (this.#unfit.get(node) !== lsn) {
      this.#unfit.set(node, lsn);
      this.#steppedDown.notify();
    }
    return true;
  }

  /** Whether a node works, and does not stand before an entry that it could not decide. */
  #canDecide({ member, applier }: Follower): boolean {
    return follows(member.state) && applier.checkpoint >= (this.#unfit.get(member.id) ?? 0);
  }

  /** Called when a node cannot be used, or brought further, because of an entry of the log. */
  damaged(node: string, damage: LogDamaged): void {
    if (this.#damaged.get(node)?.lsn !== damage.lsn)
      this.#options.logger.error({ node, lsn: damage.lsn }, damage.message);
    this.#damaged.set(node, damage);
  }

  /** Called when a node's marker is further than the log: the log has lost its newest entries. */
  rewound(reason: string): void {
    this.#rewound = reason;
    this.#options.current.end();
    this.#options.logger.error({ reason }, 'the log has lost its newest entries: no writes until an operator decides');
  }
}
