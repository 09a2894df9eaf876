// One term of this gateway's leadership: takes over what is recorded, drives every node, and hands over.

import type { CurrentTerm } from '../coordination/current-term.ts';
import { generationOf, TermOver, type Term } from '../coordination/term.ts';
import { LogDamaged, LogTrimmed } from '../log/entry.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import type { Head } from '../log/postgres-log.ts';
import { IntroductionLost } from '../nodes/admission.ts';
import type { Node } from '../nodes/node.ts';
import { canServe, follows, type NodeState } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { Notifier } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import type { AssignedShard } from './checkpoints.ts';
import type { Primary } from './decision-wait.ts';
import type { Decisions } from './decisions.ts';
import type { Endings } from './endings.ts';
import type { Follower, Followers } from './follower.ts';
import { HaltState } from './halt-state.ts';
import type { LogComparison } from './log-comparison.ts';
import { MarkerWriter } from './marker-writer.ts';
import { ForeignContent } from './node-faults.ts';
import { NodeSteps } from './node-steps.ts';
import type { Positions } from './positions.ts';
import { PrimaryElection } from './primary-election.ts';
import type { Stagger } from './stagger.ts';
import type { Trials } from './trials.ts';

export interface LeaderOptions {
  /** Publishes the term to everything that acts only while this gateway leads. */
  readonly current: CurrentTerm;
  /** Called when this gateway has begun to lead. */
  readonly onBegun: (term: Term) => void;
  readonly followers: Followers;
  readonly comparison: Pick<LogComparison, 'compare' | 'found' | 'run'>;
  readonly head: () => Promise<Head>;
  readonly logBuffer: Pick<LogBuffer, 'head' | 'advance'>;
  readonly positions: Pick<Positions, 'applied' | 'setCluster' | 'moved'>;
  /** The copies of a node, as it follows the log from here on. */
  readonly assigned: (node: string, term: Term) => Promise<ReadonlyMap<string, AssignedShard>>;
  readonly decisions: Pick<Decisions, 'load'>;
  readonly endings: Pick<Endings, 'closeAll'>;
  readonly trials: Pick<Trials, 'load' | 'forget'>;
  readonly stagger: Pick<Stagger, 'reconsider'>;
  readonly nodeStore: Pick<NodeStore, 'setPrimary' | 'marked'>;
  /** The highest durable checkpoint of the nodes that count, as it was read last; null before that. */
  readonly furthest: () => number | null;
  /** How much operators prefer a node as primary; absent: all alike. */
  readonly priorityOf?: (node: string) => number;
  readonly refreshCatalog: () => Promise<void>;
  /** The view number with which a copy on the node became suspect last. */
  readonly lastSuspicion: (node: string) => number;
  /** Whether the content of the node's process has been verified; begins to verify it when it has not. */
  readonly isVerified: (member: Node, term: Term) => boolean;
  readonly primaryChanged: Notifier;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

const CAUGHT_UP_POLL_MS = 100;
// A node is caught up when it has applied what the log held this long ago. Under writes that never pause it is always
// some rounds behind, and a round on a slow node takes a second or two; each read checks its own floor. So is a node that
// no other is ahead of: after a restart amid an entry of minutes, reads of everything else go on, unless the node shows
// that entry where an earlier one may be lost.
const CAUGHT_UP_LAG_MS = 5_000;
const RETRY_MS = 200;
// Whether a node that lost its content can be filled anew is asked of its server and of the others: some small reads.
const REFILL_POLL_MS = 2_000;
// How long a term that is over waits for the responses to its last calls: a healthy node needs less for its largest.
const HAND_OVER_MS = 2_000;

/** After these, a node begins again without content. */
const BEGIN_AGAIN = [ForeignContent, LogTrimmed, IntroductionLost];

/** States in which a node is admitted, or begins again. A fenced one may be an earlier incarnation of itself. */
const BEGINNING: ReadonlySet<NodeState> = new Set(['joining', 'needs_rebuild', 'fenced']);

export class Leader {
  readonly #options: LeaderOptions;
  readonly #halt: HaltState;
  readonly #election: PrimaryElection;
  readonly #steps = new NodeSteps();
  readonly #markers: MarkerWriter;

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#halt = new HaltState(options);
    this.#election = new PrimaryElection(options);
    this.#markers = new MarkerWriter({ ...options, steps: this.#steps });
  }

  /** The term this gateway leads in; null while it does not. */
  get term(): Term | null {
    return this.#options.current.term;
  }

  /** The node that decides; kept after the term as the last known. */
  get primary(): Primary {
    return this.#election.primary;
  }

  /** Why the log cannot be continued; null while it can. */
  get halted(): string | null {
    return this.#halt.reason;
  }

  /** Leads until the term is over; resolves when nothing it began can take another step. */
  async lead(term: Term): Promise<void> {
    const { followers, comparison, decisions, endings, trials, current, events, logger, clock } =
      this.#options;
    const head = await this.#begin(term);
    if (head === null) return;
    await Promise.all([decisions.load(), trials.load(term.epoch)]);
    endings.closeAll();
    if (!this.#halt.isRewound) current.begin(term);
    this.#options.onBegun(term);
    logger.info({ epoch: term.epoch, head: head.lsn, primary: head.primary }, 'leadership acquired');
    events.record('leader_changed', { epoch: generationOf(term.epoch), head: head.lsn });
    await Promise.all([
      followers.runForEach(
        (follower, signal) => this.#attend(follower, limited(term, signal), head),
        term.signal,
      ),
      this.#election.run(term),
      this.#declareCaughtUp(term),
      comparison.run(term, {
        onRewound: (reason) => this.#halt.rewound(reason),
        onCompared: () => {
          for (const { applier } of followers.all()) applier.uncertainCheckpoint();
        },
      }),
    ]);
    current.end();
    await this.#handOver();
    logger.info({ epoch: term.epoch, at: clock.now() }, 'leadership given up');
  }

  /** Resolves when every serving node has checkpointed the whole log, or after `limitMs`. */
  async caughtUp(limitMs: number): Promise<void> {
    const { followers, logBuffer, positions, clock } = this.#options;
    const limit = new AbortController();
    const cancel = clock.after(limitMs, () => limit.abort());
    const isBehind = ({ member, applier }: Follower): boolean =>
      canServe(member.state) && applier.checkpoint < logBuffer.head;
    while (this.term !== null && !limit.signal.aborted && followers.all().some(isBehind))
      await positions.moved.wait(limit.signal);
    cancel();
  }

  /** Another gateway leads, with this primary. */
  follow(primary: Primary): void {
    if (this.term === null) this.#election.follow(primary);
  }

  /** Runs a step on a node that must not overlap with an admission or another marker. Throws TermOver. */
  runStep(node: string, step: () => Promise<void>, term: Term): Promise<void> {
    return this.#steps.run(node, step, term);
  }

  /** Called when a node cannot decide the entry at `lsn`. Whether another node takes its place, as matters stand. */
  stepDown(node: string, lsn: number): boolean {
    return this.#election.stepDown(node, lsn);
  }

  /** Called when PostgreSQL refused a decision of this primary. */
  notPrimary(primary: Primary): void {
    this.#election.refused(primary);
  }

  /** Called when a suspicion was recorded: gateways that cannot reach PostgreSQL learn from the markers of nodes. */
  announceSuspicion(): void {
    this.#markers.announceSuspicion();
  }

  /** Called when nodes came or went, or count from now on. */
  membersChanged(): void {
    this.#election.membersChanged();
  }

  /** Makes a serving node primary, within moments; it stays primary until it fails. Null takes that back. */
  promote(node: string | null): void {
    this.#election.promote(node);
  }

  /** Called when a node cannot be used, or go on, because of an entry of the log. */
  damaged(node: string, damage: LogDamaged): void {
    this.#halt.damaged(node, damage);
  }

  /** Called when a node's marker is ahead of the log: the log has lost its last entries. */
  rewound(node: string, lsn: number): void {
    this.#halt.rewound(this.#options.comparison.found(node, lsn));
  }

  async #begin(term: Term): Promise<Head | null> {
    const { head, followers, comparison, logBuffer, refreshCatalog, clock, logger } = this.#options;
    while (!term.signal.aborted) {
      try {
        const recorded = await head();
        // Copies that other leaders made suspect meanwhile count for no write that still waits here.
        await refreshCatalog();
        await Promise.all(followers.all().map(({ admission }) => admission.load(recorded.cluster)));
        const missing = await comparison.compare(term);
        if (missing !== null) this.#halt.rewound(missing);
        logBuffer.advance(recorded.lsn);
        this.#election.begin(recorded);
        return recorded;
      } catch (error) {
        logger.warn({ error: String(error) }, 'log head not read');
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
    return null;
  }

  /** Throws when a call of this term is still in flight: the lease must then not be released as after a clean end. */
  async #handOver(): Promise<void> {
    const { followers, clock } = this.#options;
    const nodes = followers.all();
    const ended = nodes.flatMap(({ member, applier }) => [
      applier.callsEnded(),
      this.#steps.ended(member.id),
    ]);
    await Promise.race([Promise.all(ended), sleep(clock, HAND_OVER_MS)]);
    const isBusy = ({ member, applier }: Follower): boolean =>
      applier.callsInFlight > 0 || this.#steps.isInFlight(member.id);
    const busy = nodes.filter(isBusy).map(({ member }) => member.id);
    if (busy.length > 0) throw new Error(`calls of this term are still in flight on ${busy.join(', ')}`);
  }

  /** Everything that a term does for one node. */
  async #attend(follower: Follower, term: Term, head: Head): Promise<void> {
    await Promise.all([this.#drive(follower, term, head), this.#markers.run(follower, term, head)]);
  }

  /** Admits one node and applies the log to it, whenever its state allows. */
  async #drive(follower: Follower, term: Term, head: Head): Promise<void> {
    const { logger, clock } = this.#options;
    const { member, admission } = follower;
    let mayHaveCalls = !term.clean || follower.isReplacement;
    let isLoaded = false;
    // No node follows a log that has lost its last entries: what nodes hold beyond it may be all that is left.
    while (!term.signal.aborted && !this.#halt.isRewound) {
      try {
        if (!isLoaded) await admission.load(head.cluster);
        isLoaded = true;
        if (BEGINNING.has(member.state)) await this.#admit(follower, term);
        if (follows(member.state)) {
          await this.#follow(follower, term, mayHaveCalls);
          mayHaveCalls = false;
        } else if (member.state === 'joining' && member.obstacle === null)
          await sleep(clock, RETRY_MS, term.signal);
        else if (BEGINNING.has(member.state)) await sleep(clock, REFILL_POLL_MS, term.signal);
        else await member.changed.wait(term.signal);
      } catch (error) {
        this.#failed(member, error);
        // PostgreSQL may have executed a statement whose response was lost.
        isLoaded = false;
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
    logger.debug({ node: member.id }, 'node no longer driven');
  }

  /** Admits a node that joins; one that lost its content begins again if it can be filled. */
  async #admit({ member, admission }: Follower, term: Term): Promise<void> {
    // As it is now: the node may have come, or gone ahead, since the term began.
    const head = await this.#options.head();
    const step = async (): Promise<void> =>
      member.state === 'joining' ? admission.admit(term, head) : admission.beginAgain(term, head);
    await this.#steps.run(member.id, step, term);
  }

  /** Runs the applier until the node's state no longer lets it follow, or the term is over. */
  async #follow({ member, applier, admission }: Follower, term: Term, mayHaveCalls: boolean): Promise<void> {
    const { controller, unlink } = linkedAbort(term.signal);
    const { signal } = controller;
    const watch = async (): Promise<void> => {
      while (!signal.aborted && follows(member.state)) await member.changed.wait(signal);
      controller.abort();
    };
    const watching = watch();
    const over = limited(term, signal);
    const held = (): boolean => over.held() && !this.#halt.isRewound;
    try {
      const { checkpoint, busyLSN, busyMs } = await admission.row();
      const start = { checkpoint, assigned: await this.#options.assigned(member.id, term) };
      const isBusy = busyLSN !== null && busyLSN > checkpoint;
      const unknownMs = mayHaveCalls ? (isBusy ? busyMs : 0) : null;
      await applier.run({ ...over, held }, start, unknownMs);
    } finally {
      controller.abort();
      unlink();
      await watching;
    }
  }

  #failed(member: Node, error: unknown): void {
    if (error instanceof TermOver) return;
    this.#options.logger.error({ node: member.id, error: String(error) }, 'replication to the node failed');
    // The node is not at fault, and goes on once the entry is repaired.
    if (error instanceof LogDamaged) return this.damaged(member.id, error);
    if (BEGIN_AGAIN.some((kind) => error instanceof kind))
      member.on('lost_content', (error as Error).message);
    else member.callFailed(error as Error, false);
  }

  async #declareCaughtUp(term: Term): Promise<void> {
    const { followers, logBuffer, positions, trials, isVerified, furthest, clock } = this.#options;
    const heads = [logBuffer.head];
    // Never lowered: nodes that all begin again serve nothing before they have caught up.
    let furthestKnown = 0;
    while (!term.signal.aborted) {
      const before = heads[0] ?? 0;
      const recorded = furthest();
      furthestKnown = Math.max(furthestKnown, recorded ?? 0);
      const enough = recorded === null ? before : Math.min(before, furthestKnown);
      const nodes = followers.all();
      trials.forget(Math.min(...nodes.map(({ applier }) => applier.checkpoint)));
      this.#halt.forgetRepaired();
      for (const { member } of nodes) {
        const isCaughtUp = positions.applied(member.id) >= Math.max(enough, member.minServingLSN);
        if (member.state === 'catching_up' && isCaughtUp && member.canaryWorks && isVerified(member, term))
          member.on('caught_up', 'has applied the log, and its content was verified');
      }
      if (heads.push(logBuffer.head) > CAUGHT_UP_LAG_MS / CAUGHT_UP_POLL_MS) heads.shift();
      await sleep(clock, CAUGHT_UP_POLL_MS, term.signal);
    }
  }
}

/** The term, as far as it concerns what `signal` limits. */
function limited(term: Term, signal: AbortSignal): Term {
  return { ...term, signal, held: () => term.held() && !signal.aborted };
}
