// One node as this gateway sees it: its state changes with probes, canaries and the outcomes of real calls.

import { Notifier } from '../util/notifier.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { linkedAbort } from '../util/race.ts';
import { isServerError } from '../chroma/client/node-error.ts';
import type { CanaryReport, ProbeCounts, ProbeResult } from './probe-result.ts';
import { canServe, follows, nextState, type NodeEvent, type NodeState } from './node-state.ts';

/** The checks of one node. */
export interface NodeProbe {
  probe(): Promise<ProbeResult>;
  /** A write and reads that prove that the node works; why it does not, or null. */
  canary(): Promise<CanaryReport | null>;
  /** Compares the content of a new process with the log; why the node cannot be used, or null. */
  verify(): Promise<VerificationFailure | null>;
}

/** The difference between a busy node and a failed one. */
export interface NodeWork {
  /** A call is in flight and within its bound. */
  readonly explainsSilence: boolean;
  /** As `explainsSilence`, at any time since that moment, clock.monotonic() ms: a call may have ended just now. */
  explainsSilenceSince(sinceMs: number): boolean;
  /** A long call is in flight: the node is the last choice for reads. */
  readonly isLong: boolean;
  /** A call has exceeded its bound by so many ms without progress. */
  isOverdueBy(ms: number): boolean;
}

export interface VerificationFailure {
  /** The node lacks content that it had applied. False: it could not be verified yet. */
  readonly contentLost: boolean;
  readonly reason: string;
}

export interface NodeOptions {
  readonly id: string;
  readonly url: string;
  /** How often it has begun again without content; absent: never. */
  readonly resets?: number;
  /** Whether it counts already, and whether an operator has taken it out of service. */
  readonly counts?: boolean;
  readonly drained?: boolean;
  readonly probe: NodeProbe;
  readonly work: NodeWork;
  /** How long beyond its bound a call may go without progress while the node responds to everything else, ms. */
  readonly overdueMaxMs: number;
  readonly clock: Clock;
  readonly onTransition: (member: Node, from: NodeState, event: NodeEvent, reason: string) => void;
  /** Called when a connection was refused: calls in flight have ended with the process. */
  readonly onProcessGone: () => void;
  /** Called when the node responded that it cannot work, hangs, or failed its canary: why; null after a canary that succeeded. */
  readonly onHealth: (failure: CanaryReport | null) => void;
}

// A probe every half second notices a hanging process within seconds; two misses, so that one slow response under load
// does not change the primary.
const PROBE_MS = 500;
// The shortest interval between two probes; also the interval during the first ten seconds of refused connections,
// which cost little, so that a restarted server is noticed at once.
const PROBE_APART_MS = 50;
const REFUSALS_FAST_MAX = 200;
const MISSES_MAX = 2;
// The kernel notices within about this time that a machine is unreachable (chroma/client/verified-connector.ts): an open
// connection without a response for longer is that of a process that hangs.
const HANGS_MS = 20_000;
// A canary costs a write on the node; its failure is noticed sooner through real calls that fail.
const CANARY_MS = 10_000;
const CANARY_AFTER_TROUBLE_MS = 500;
const DRAINED = 'an operator has taken it out of service';
/** States without a canary: the node is about to be admitted, or to begin again. */
const BEGINNING: ReadonlySet<NodeState> = new Set(['joining', 'needs_rebuild']);

export class Node {
  readonly id: string;
  readonly url: string;
  readonly resets: number;
  readonly #options: NodeOptions;
  /** When it entered its state, wall clock ms. */
  #since: number;
  /** A node is not used before its identity was verified. */
  #state: NodeState = 'joining';
  #reason: string | null = null;
  #lastError: string | null = null;
  #misses = 0;
  /** Consecutive probes whose connection was refused. */
  #refusals = 0;
  #probes: ProbeCounts = { at: null, total: 0, failed: 0, consecutiveFailures: 0 };
  #canaryAt = 0;
  #canaryFailed = false;
  #canaryPassedAt: number | null = null;
  #isRefused = false;
  #isReached = false;
  readonly #probeRequested = new Notifier();
  /** A probe was requested since the last one began. */
  #isProbeDue = false;
  /** Counts the connections that ended: after each, the process may be another. */
  #interruptions = 0;
  /** The number of interruptions when it was verified last; none before it was admitted. */
  #verified = -1;
  #isDrained = false;
  /** Whether it counts for the levels quorum and all: from its first serving on (R20). */
  counts: boolean;
  /** The checkpoint that its marker is known to have held: a lower one means older content. */
  markerLSN = 0;
  /** The LSN that it must apply before it serves, and before its marker moves: until then it may lack an earlier entry. */
  minServingLSN = 0;
  /** Why a node without content is not filled; null when nothing is known to prevent it. */
  obstacle: string | null = null;
  /** Times that the connection that watches the node has ended, and with it perhaps its process. */
  connectionsEnded = 0;
  /** Whether a probe has ended since the start. */
  probed = false;
  readonly changed = new Notifier();

  constructor(options: NodeOptions) {
    this.id = options.id;
    this.url = options.url;
    this.resets = options.resets ?? 0;
    this.#options = options;
    this.#since = options.clock.now();
    this.counts = options.counts ?? false;
    this.#isDrained = options.drained ?? false;
  }

  get state(): NodeState {
    return this.#state;
  }

  /** When it entered its state: wall clock, ms since the epoch. */
  get since(): number {
    return this.#since;
  }

  /** Why it is in its state; null while it serves or catches up. */
  get reason(): string | null {
    const waits = ['joining', 'needs_rebuild', 'fenced'].includes(this.#state);
    if (this.obstacle === null || !waits) return this.#reason;
    const before = this.#reason === null ? '' : `${this.#reason}; `;
    return `${before}it cannot be filled yet: ${this.obstacle}`;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  /** Whether an operator has taken it out of service; it follows the log meanwhile. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  set isDrained(isDrained: boolean) {
    if (isDrained === this.#isDrained) return;
    this.#isDrained = isDrained;
    if (!isDrained) this.on('undrained', 'back in service');
    else if (canServe(this.#state)) this.on('drained', DRAINED);
  }

  /** Moves the state machine. `reason` is shown to operators. */
  on(event: NodeEvent, reason: string): void {
    if (event === 'caught_up' && this.#isDrained) return this.on('drained', DRAINED);
    const from = this.#state;
    this.#state = nextState(from, event);
    if (this.#state === from) return;
    if (event === 'admitted') this.#verified = this.#interruptions;
    if (this.#state === 'serving') this.counts = true;
    this.#since = this.#options.clock.now();
    this.#reason = this.#state === 'serving' || this.#state === 'catching_up' ? null : reason;
    this.#options.onTransition(this, from, event, reason);
    this.changed.notify();
  }

  /** Whether its server cannot be a member of this cluster. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Excludes the node until this gateway is restarted: its server cannot be a member of this cluster. */
  refuse(reason: string): void {
    this.#isRefused = true;
    this.on('wrong_identity', reason);
  }

  /** A real call got no response. `refused`: the process is gone, which needs no probe to confirm. */
  callFailed(error: Error, refused: boolean): void {
    this.#lastError = error.message;
    if (BEGINNING.has(this.#state) && isServerError(error))
      this.#options.onHealth({ reason: error.message, isSilence: false });
    if (refused) this.on('failed', error.message);
    else this.#probeSoon();
  }

  /** A real call got a response that a working node does not give: the canary decides. */
  respondedBadly(error: Error): void {
    this.#lastError = error.message;
    this.#canaryAt = Math.min(this.#canaryAt, this.#options.clock.monotonic() + CANARY_AFTER_TROUBLE_MS);
    this.#probeSoon();
  }

  /**
   * The connection that watches the node has ended, as every connection does when its process ends. The server that
   * responds next may be a new process on another folder: nothing is read from it before it is verified.
   */
  connectionLost(): void {
    this.#isReached = false;
    this.connectionsEnded += 1;
    // Admission includes the verification.
    if (this.#state === 'joining') return;
    this.#interruptions += 1;
    this.#canaryAt = 0;
    this.on('failed', 'connection ended: the process may be a new one');
    this.#probeSoon();
  }

  /** Whether the last probe found the node itself, over a connection that lives. */
  get isReached(): boolean {
    return this.#isReached;
  }

  /** The gateway that leads has verified the process that responds now. */
  vouchedFor(reason: string): void {
    if (this.#isRefused) return;
    this.#verified = this.#interruptions;
    if (this.#state === 'joining') this.on('admitted', reason);
    if (this.#state === 'down') this.on('responds', reason);
    if (this.#state === 'catching_up') this.on('caught_up', reason);
  }

  /** The gateway that leads does not use it: it is verified again before it is used from here. */
  distrust(reason: string): void {
    if (!follows(this.#state)) return;
    this.#interruptions += 1;
    this.on('failed', reason);
  }

  /** Counts the times that the process behind the address may have been replaced. */
  get process(): number {
    return this.#interruptions;
  }

  /** Whether the process that responds is the one that was verified last; admission uses it to verify it. */
  get verified(): boolean {
    return this.#state === 'joining' || this.#verified === this.#interruptions;
  }

  get probes(): ProbeCounts {
    return this.#probes;
  }

  /** Time since the last canary that succeeded; null before the first. */
  get canaryMsAgo(): number | null {
    return this.#canaryPassedAt === null ? null : this.#options.clock.monotonic() - this.#canaryPassedAt;
  }

  /** Whether the last canary succeeded; false before the first. */
  get canaryWorks(): boolean {
    return this.#canaryAt > 0 && !this.#canaryFailed;
  }

  /** Probes the node until `stop` aborts. */
  async watch(stop: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!stop.aborted) {
      this.#isProbeDue = false;
      const found = await this.#probe();
      this.#isReached = found === 'itself';
      this.#refusals = found === 'refused' ? this.#refusals + 1 : 0;
      this.#countProbe(found !== 'itself');
      this.probed = true;
      if (this.#refusals <= 1) this.changed.notify();
      // No event announces that a server listens again: only the next probe finds it.
      const isAwaited = this.#refusals > 0 && this.#refusals <= REFUSALS_FAST_MAX;
      if (!isAwaited && !this.#isProbeDue) await this.#pause(stop);
      // Many failing calls at once must not turn into as many probes.
      if (!stop.aborted) await sleep(clock, PROBE_APART_MS, stop);
    }
  }

  /** Ends early when a probe is requested. */
  async #pause(stop: AbortSignal): Promise<void> {
    const { controller, unlink } = linkedAbort(stop);
    const { signal } = controller;
    await Promise.race([sleep(this.#options.clock, PROBE_MS, signal), this.#probeRequested.wait(signal)]);
    controller.abort();
    unlink();
  }

  #probeSoon(): void {
    this.#isProbeDue = true;
    this.#probeRequested.notify();
  }

  #countProbe(hasFailed: boolean): void {
    const { total, failed, consecutiveFailures } = this.#probes;
    this.#probes = {
      at: this.#options.clock.now(),
      total: total + 1,
      failed: failed + (hasFailed ? 1 : 0),
      consecutiveFailures: hasFailed ? consecutiveFailures + 1 : 0,
    };
  }

  async #probe(): Promise<ProbeResult['found']> {
    // As known before the probe: a marker written meanwhile may be missing from its result.
    const { markerLSN } = this;
    const sinceMs = this.#options.clock.monotonic();
    const result = await this.#options.probe.probe();
    switch (result.found) {
      case 'refused':
      case 'newer':
        this.#lastError = result.reason;
        if (result.found === 'refused') this.#options.onProcessGone();
        this.on('failed', result.reason);
        break;
      case 'silent':
        // Silence that a call in flight explains is no error, and hides none.
        if (!this.#options.work.explainsSilence) this.#lastError = result.reason;
        if (result.isUnable === true) this.#options.onHealth({ reason: result.reason, isSilence: false });
        else if ((result.hangsMs ?? 0) >= HANGS_MS && !this.#options.work.explainsSilence)
          this.#options.onHealth({ reason: `hangs: ${result.reason}`, isSilence: true });
        // Probes missed while a call explained it do not count once that call has ended.
        this.#misses = this.#options.work.explainsSilenceSince(sinceMs) ? 0 : this.#misses + 1;
        // I16: a busy node is never treated as a failed one.
        if (this.#options.work.explainsSilence)
          this.on('occupied', 'works on a call and does not respond to probes meanwhile');
        // A call beyond its bound, without progress, and a missed probe: no second opinion is needed.
        else if (this.#misses >= MISSES_MAX || this.#options.work.isOverdueBy(0))
          this.on('failed', result.reason);
        break;
      case 'another':
        // Before admission the expected identity may not be known yet.
        if (this.#state !== 'joining') this.on('wrong_identity', result.reason);
        break;
      case 'older':
        this.on('lost_content', result.reason);
        break;
      case 'unmarked':
        if (this.#state !== 'joining')
          this.on('lost_content', 'the node came back blank: its marker is gone');
        break;
      case 'itself':
        this.#misses = 0;
        if (result.checkpoint < markerLSN) {
          const was = `its marker holds LSN ${result.checkpoint}, and held ${markerLSN} before`;
          this.on('lost_content', `the node came back with older content: ${was}`);
        } else await this.#responded();
    }
    return result.found;
  }

  async #responded(): Promise<void> {
    const { clock, work, overdueMaxMs } = this.#options;
    if (this.#isRefused || this.#state === 'joining' || this.#state === 'needs_rebuild') return;
    if (work.isOverdueBy(overdueMaxMs)) return this.on('failed', 'a call has exceeded its bound');
    if (!this.verified && !(await this.#verify())) return;
    const isCanaryDue = clock.monotonic() >= this.#canaryAt || this.#canaryFailed;
    // Behind a long call a canary would mostly wait; but a node without any does not serve.
    const isDelayed = work.isLong && work.explainsSilence && this.#canaryAt > 0;
    if (isCanaryDue && !isDelayed && !(await this.#canaryPasses())) return;
    // The connection ended again meanwhile: another process may have been verified.
    if (!this.verified) return;
    this.on('responds', 'responds again');
    if (!work.isLong) this.on('free', 'responds again');
  }

  /** False when the node failed its canary. One delayed by a call in flight proves nothing and is run again. */
  async #canaryPasses(): Promise<boolean> {
    const { clock, probe, work } = this.#options;
    const sinceMs = clock.monotonic();
    const report = await probe.canary();
    if (report?.isSilence === true && work.explainsSilenceSince(sinceMs)) {
      this.#canaryAt = clock.monotonic() + CANARY_AFTER_TROUBLE_MS;
      return true;
    }
    this.#canaryFailed = report !== null;
    this.#options.onHealth(report);
    this.#canaryAt = clock.monotonic() + CANARY_MS;
    if (report === null) {
      this.#canaryPassedAt = clock.monotonic();
      return true;
    }
    this.#lastError = `canary: ${report.reason}`;
    this.on('failed', this.#lastError);
    return false;
  }

  async #verify(): Promise<boolean> {
    const interruptions = this.#interruptions;
    const failure = await this.#options.probe.verify();
    if (failure === null) this.#verified = interruptions;
    else if (failure.contentLost) this.on('lost_content', failure.reason);
    else this.#lastError = failure.reason;
    return this.verified;
  }
}
