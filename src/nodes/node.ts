// One node as this gateway sees it: its state, the probes that watch it, and what real calls report about it.

import { Notifier } from '../util/notifier.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { nextState, type NodeEvent, type NodeState } from './node-state.ts';

/** What a look at a node found. */
export type ProbeResult =
  /** Answers under its own identity; `checkpoint`: what its marker says, 0 when it says nothing yet. */
  | { readonly found: 'itself'; readonly checkpoint: number; readonly log: string | null }
  | { readonly found: 'another'; readonly reason: string }
  /** Under its own identity, with a marker older than it is known to have held. */
  | { readonly found: 'older'; readonly reason: string }
  /** No marker: a server that was never a node, or lost everything. */
  | { readonly found: 'unmarked' }
  /** Nothing listens: its process is gone. */
  | { readonly found: 'refused'; readonly reason: string }
  | { readonly found: 'silent'; readonly reason: string };

/** How a node is looked at; the composition root builds it on the node client. */
export interface NodeProbe {
  probe(): Promise<ProbeResult>;
  /** A write and reads that prove it works; resolves with why not, or null. */
  canary(): Promise<CanaryReport | null>;
  /** Holds what a new process serves against the log; resolves with what keeps the node from being used, or null. */
  verify(): Promise<VerificationFailure | null>;
}

/** Why a canary failed. */
export interface CanaryReport {
  readonly reason: string;
  /** There was no response in time, as opposed to a bad one. */
  readonly isSilence: boolean;
}

/** What the node is working on, as far as it matters for telling a busy node from a failed one. */
export interface NodeWork {
  /** A call of ours is in flight and within its bound. */
  readonly explainsSilence: boolean;
  /** A long call is in flight: the node is the last choice for reads. */
  readonly isLong: boolean;
  /** A call has exceeded its bound by so many ms without progress. */
  isOverdueBy(ms: number): boolean;
}

export interface VerificationFailure {
  /** For good: the node lacks what it had applied. Otherwise only until it could be looked at. */
  readonly contentLost: boolean;
  readonly reason: string;
}

export interface NodeOptions {
  readonly id: string;
  readonly url: string;
  readonly probe: NodeProbe;
  readonly work: NodeWork;
  /** How long beyond its bound a call may go without progress while the node responds to everything else, ms. */
  readonly overdueMaxMs: number;
  readonly clock: Clock;
  readonly onTransition: (member: Node, from: NodeState, event: NodeEvent, reason: string) => void;
  /** Nothing listens at the node's address: whatever its process was asked ended with it. */
  readonly onProcessGone: () => void;
}

// A probe every half second notices a hanging process within some seconds; two misses, so that one slow answer
// under load moves no primary.
const PROBE_MS = 500;
// Two probes are so far apart at least; at most, too, for the first ten seconds in which nothing listens: a refused
// connection costs next to nothing, and a server that was started anew is waited for.
const PROBE_APART_MS = 50;
const REFUSALS_AWAITED = 200;
const MISSES_MAX = 2;
// A canary costs a write on the node; its failure is noticed sooner through real calls that fail.
const CANARY_MS = 10_000;
const CANARY_AFTER_TROUBLE_MS = 500;

export class Node {
  readonly id: string;
  readonly url: string;
  readonly #options: NodeOptions;
  /** Since when it is in its state, wall clock ms. */
  #since: number;
  /** A node is not used before it was seen under its own identity. */
  #state: NodeState = 'joining';
  #reason: string | null = null;
  #lastError: string | null = null;
  #misses = 0;
  /** Probes in a row that found nothing listening. */
  #refusals = 0;
  #canaryAt = 0;
  #canaryFailed = false;
  #unfit = false;
  readonly #hurry = new Notifier();
  /** Something happened since the last look began. */
  #hurried = false;
  /** Counts the times its process may have become another. */
  #interruptions = 0;
  #verified = 0;
  /** The checkpoint its marker is known to have held: less means that it has travelled back in time. */
  markerLSN = 0;
  /** Whether a probe has come back since the start. */
  probed = false;
  readonly changed = new Notifier();

  constructor(options: NodeOptions) {
    this.id = options.id;
    this.url = options.url;
    this.#options = options;
    this.#since = options.clock.now();
  }

  get state(): NodeState {
    return this.#state;
  }

  /** Since when it is in its state: wall clock, ms since the epoch. */
  get since(): number {
    return this.#since;
  }

  /** Why it is in its state; null while all is well. */
  get reason(): string | null {
    return this.#reason;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  /** Moves the state machine. `reason` is kept for people. */
  on(event: NodeEvent, reason: string): void {
    const from = this.#state;
    this.#state = nextState(from, event);
    if (this.#state === from) return;
    this.#since = this.#options.clock.now();
    this.#reason = this.#state === 'serving' || this.#state === 'catching_up' ? null : reason;
    this.#options.onTransition(this, from, event, reason);
    this.changed.notify();
  }

  /** Keeps the node out, whatever it answers, until this gateway is started anew: it is not fit to be a member. */
  refuse(reason: string): void {
    this.#unfit = true;
    this.on('wrong_identity', reason);
  }

  /** A real call had no answer. `refused`: the process is gone, which needs no second opinion. */
  callFailed(error: Error, refused: boolean): void {
    this.#lastError = error.message;
    if (refused) this.on('failed', error.message);
    else this.#lookSoon();
  }

  /** A real call was answered in a way that puts the node in doubt: the canary decides. */
  answeredBadly(error: Error): void {
    this.#lastError = error.message;
    this.#canaryAt = Math.min(this.#canaryAt, this.#options.clock.monotonic() + CANARY_AFTER_TROUBLE_MS);
    this.#lookSoon();
  }

  /**
   * The connection that watches the node has ended, as every connection does when its process does. Whatever answers
   * next may be a new process on a folder put in its place, so nothing is read from it before it was verified.
   */
  connectionLost(): void {
    // Admission verifies by itself.
    if (this.#state === 'joining') return;
    this.#interruptions += 1;
    this.#canaryAt = 0;
    this.on('failed', 'its connection ended: the process may be a new one');
    this.#lookSoon();
  }

  /** Whether the process that answers is the one that was verified last. */
  get verified(): boolean {
    return this.#verified === this.#interruptions;
  }

  /** The outcome of the last canary; a node is not called level before one has worked. */
  get canaryWorks(): boolean {
    return this.#canaryAt > 0 && !this.#canaryFailed;
  }

  /** Watches until `stop` aborts. */
  async watch(stop: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!stop.aborted) {
      this.#hurried = false;
      const found = await this.#look();
      this.#refusals = found === 'refused' ? this.#refusals + 1 : 0;
      this.probed = true;
      if (this.#refusals <= 1) this.changed.notify();
      // Nothing that happens tells sooner that somebody listens again.
      const isAwaited = this.#refusals > 0 && this.#refusals <= REFUSALS_AWAITED;
      if (!isAwaited && !this.#hurried) await this.#pause(stop);
      // Many failing calls at once must not turn into as many probes.
      if (!stop.aborted) await sleep(clock, PROBE_APART_MS, stop);
    }
  }

  /** Ends early when there is reason to look again. */
  async #pause(stop: AbortSignal): Promise<void> {
    const pause = new AbortController();
    const signal = AbortSignal.any([stop, pause.signal]);
    await Promise.race([sleep(this.#options.clock, PROBE_MS, signal), this.#hurry.wait(signal)]);
    pause.abort();
  }

  #lookSoon(): void {
    this.#hurried = true;
    this.#hurry.notify();
  }

  async #look(): Promise<ProbeResult['found']> {
    // As known before the node is asked: a marker written meanwhile may be missing from its answer.
    const { markerLSN } = this;
    const result = await this.#options.probe.probe();
    switch (result.found) {
      case 'refused':
        this.#lastError = result.reason;
        this.#options.onProcessGone();
        this.on('failed', result.reason);
        break;
      case 'silent':
        // Silence that a call of ours explains is no error, and hides none.
        if (!this.#options.work.explainsSilence) this.#lastError = result.reason;
        // What was missed while a call of ours explained it says nothing once that call has ended.
        this.#misses = this.#options.work.explainsSilence ? 0 : this.#misses + 1;
        // A node that works on a call of ours is silent, not dead.
        if (this.#options.work.explainsSilence)
          this.on('occupied', 'it works on a call and answers no probe meanwhile');
        else if (this.#misses >= MISSES_MAX) this.on('failed', result.reason);
        break;
      case 'another':
        // Before admission it may only be that nobody knows yet whom to expect.
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
          const was = `its marker says LSN ${result.checkpoint}, and had said ${markerLSN}`;
          this.on('lost_content', `the node came back with older content: ${was}`);
        } else await this.#answers();
    }
    return result.found;
  }

  async #answers(): Promise<void> {
    const { clock } = this.#options;
    const { work, overdueMaxMs } = this.#options;
    if (this.#unfit || this.#state === 'joining' || this.#state === 'needs_rebuild') return;
    if (work.isOverdueBy(overdueMaxMs)) return this.on('failed', 'a call has exceeded its bound');
    if (!this.verified && !(await this.#verify())) return;
    // A canary would only wait behind a long call.
    const isCanaryDue = clock.monotonic() >= this.#canaryAt || this.#canaryFailed;
    if (isCanaryDue && !(work.isLong && work.explainsSilence) && !(await this.#canaryPasses())) return;
    // Lost again meanwhile: what was verified is gone.
    if (!this.verified) return;
    this.on('responds', 'answers again');
    if (!work.isLong) this.on('free', 'answers again');
  }

  /** False when the node has failed its canary. One that waits behind a call of ours says nothing and is run again. */
  async #canaryPasses(): Promise<boolean> {
    const { clock, probe, work } = this.#options;
    const report = await probe.canary();
    if (report?.isSilence === true && work.explainsSilence) {
      this.#canaryAt = clock.monotonic() + CANARY_AFTER_TROUBLE_MS;
      return true;
    }
    this.#canaryFailed = report !== null;
    this.#canaryAt = clock.monotonic() + CANARY_MS;
    if (report === null) return true;
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
