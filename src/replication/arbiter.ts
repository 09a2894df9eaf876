// Ends entries that no healthy node can apply (I16): compares a node's failure with the outcomes on other nodes, asks
// one for a second opinion, and makes the node suspect or has the entry refused or quarantined.

import { errorBody } from '../chroma/protocol/error-body.ts';
import type { Term } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Decision, Decisions, Ruling } from './decisions.ts';
import { orOver, TermOver } from '../coordination/term.ts';
import type { Trace } from './earlier-calls.ts';
import type { Endings } from './endings.ts';
import { needsDecision, type Operation } from '../chroma/protocol/operation.ts';
import type { Positions } from './positions.ts';
import { nextStep, type Evidence, type TrialLimits } from './trial-step.ts';
import { scratchOf, type Attempts, type Failure, type Trials } from './trials.ts';

/** An entry that has failed, as one node is about to continue with it. */
export interface Case {
  readonly node: string;
  readonly entry: Entry;
  readonly operation: Operation;
  /** How many of its records the node has applied; its other parts have not been sent. */
  readonly applied: number;
}

/** A second opinion: the node can apply the entry, it fails, or the entry could not be tried. */
export type Opinion = 'applies' | 'untried' | Failure;

/**
 * - `offer`: send it (again);
 * - `suspect`: this node is at fault, and goes on without it;
 * - `taken`: its content shows that it applied the entry under an earlier leader;
 * - `ended`: a decision about it is recorded.
 */
export type Resolution = 'offer' | 'suspect' | 'taken' | 'ended';

export interface ArbiterOptions {
  readonly trials: Pick<Trials, 'of' | 'failed' | 'appliedRecords'>;
  readonly decisions: Pick<Decisions, 'exception' | 'find' | 'record'>;
  readonly positions: Positions;
  readonly endings: Endings;
  readonly clock: Clock;
  readonly limits: TrialLimits;
  /** All nodes, dead or alive. */
  readonly members: () => readonly string[];
  /** Whether the node follows the log and responds at this moment. */
  readonly works: (node: string) => boolean;
  readonly isSuspect: (node: string, shard: string) => boolean;
  readonly isHealthy: (node: string, shard: string) => boolean;
  /** LSN up to which a node that has lost its content, or left, since may have applied the shard. */
  readonly takenEarlier: (shard: string) => Promise<number>;
  /** LSN up to which an unavailable node may have applied the log. */
  readonly mayHaveApplied: (node: string, term: Term) => Promise<number>;
  /** Whether this gateway still leads in the term with this epoch, whatever becomes of a node. */
  readonly leads: (epoch: number) => boolean;
  /** What the content of a working node says about an entry that an earlier leader may have sent. */
  readonly trace: (node: string, entry: Entry) => Promise<Trace>;
  /** Has a node try the entry without changing any content. */
  readonly ask: (node: string, trial: Case, term: Term) => Promise<Opinion>;
  readonly onEnded: (entry: Entry, decision: Decision) => void;
  /** The end of an entry could not be recorded; it is tried again. */
  readonly onRecordError: (error: Error) => void;
}

const PAUSE_MS = 200;

export class Arbiter {
  readonly #options: ArbiterOptions;
  /** Copies that become suspect now, by shard: two nodes can get here at the same moment. */
  readonly #leaving = new Map<string, Set<string>>();

  constructor(options: ArbiterOptions) {
    this.#options = options;
  }

  /** What the node does next with an entry that has failed, here or elsewhere. Throws TermOver. */
  async resolve(trial: Case, term: Term): Promise<Resolution> {
    for (;;) {
      if (!term.held()) throw new TermOver();
      if (await this.#isEnded(trial)) return 'ended';
      const { trace, ...evidence } = await this.#evidence(trial, term);
      // Evaluated last, so that no other node leaves in between.
      const isLastCopy = this.#isLastCopy(trial);
      let step = nextStep({ ...evidence, isLastCopy }, this.#options.limits);
      if (step === 'ask') {
        const opinion = await this.#askAnother(trial, term);
        if (opinion === 'applies') return 'suspect';
        // Without a second opinion the entry ends as it does with a single node.
        if (opinion === 'untried') step = evidence.sinceMs > this.#options.limits.timeoutMs ? 'end' : 'wait';
      }
      if (step === 'offer') return step;
      // R1: what it applied before may have been acknowledged, so that it is not this node that has to go on without it.
      if (trace === 'whole') return 'taken';
      if (step === 'suspect') return this.#leave(trial);
      const stands = step === 'end' ? await this.#end(trial, term) : null;
      if (stands !== null && stands.outcome !== 'accepted') return 'ended';
      if (step !== 'ask') await sleep(this.#options.clock, PAUSE_MS, term.signal);
      if (stands === null) continue;
      // What was accepted never ends otherwise. A node had applied it, perhaps one that has begun again without content.
      // Evaluated again: another node may have left meanwhile.
      const hasOthers = trial.operation.type === 'modify_collection' && !this.#isLastCopy(trial);
      return hasOthers ? this.#leave(trial) : 'offer';
    }
  }

  #leave(trial: Case): 'suspect' {
    for (const shard of shardsOf(trial))
      this.#leaving.set(shard, (this.#leaving.get(shard) ?? new Set()).add(trial.node));
    return 'suspect';
  }

  /** Whether none of the other nodes, dead or alive, has a healthy copy of a shard. */
  #isLastCopy(trial: Case): boolean {
    return shardsOf(trial).some((shard) => this.#isLastCopyOf(shard, trial.node));
  }

  #isLastCopyOf(shard: string, own: string): boolean {
    const { isHealthy, members } = this.#options;
    const leaving = this.#leaving.get(shard);
    for (const node of leaving ?? []) if (!isHealthy(node, shard)) leaving!.delete(node);
    if (leaving?.size === 0) this.#leaving.delete(shard);
    return !members().some(
      (other) => other !== own && isHealthy(other, shard) && leaving?.has(other) !== true,
    );
  }

  /** A recorded decision leaves nothing to send. */
  async #isEnded({ entry, operation }: Case): Promise<boolean> {
    const { decisions } = this.#options;
    if (decisions.exception(entry.lsn) !== null) return true;
    return needsDecision(operation) && (await decisions.find(entry.lsn))?.outcome === 'refused';
  }

  async #evidence(
    { node, entry, operation }: Case,
    term: Term,
  ): Promise<Omit<Evidence, 'isLastCopy'> & { readonly trace: Trace }> {
    const { trials, decisions, positions, members, works, mayHaveApplied, clock } = this.#options;
    const attempts = trials.of(entry.lsn);
    const peers = members().filter((other) => other !== node);
    const hasTaken = peers.some((other) => this.#hasTaken(other, entry));
    // A node that died of it or hangs on it has not confirmed it; any effect there is read back later.
    const away = peers.filter((other) => !works(other) && !isFatal(attempts.get(other)));
    // An unavailable node undoes the effect of an undecided entry when it learns of the refusal.
    const isUndecided = needsDecision(operation) && (await decisions.find(entry.lsn)) === null;
    // Nothing undecided was acknowledged; a schema change leaves no content to check.
    const isOpen = !hasTaken && !isUndecided;
    const reached = isOpen ? await Promise.all(away.map((other) => mayHaveApplied(other, term))) : [];
    const isTraceable = isOpen && operation.type === 'records';
    const traces = isTraceable ? await this.#traces([node, ...peers.filter(works)], entry) : new Map();
    const trace = traces.get(node) ?? 'none';
    // R1: what this node applied before its process ended may have been acknowledged; it gets the entry again, and its copy
    // is suspect when it fails it for good.
    const isTaken =
      hasTaken || this.#hasTaken(node, entry) || peers.some((other) => traces.get(other) === 'whole');
    const first = Math.min(...[...attempts.values()].map(({ sinceMs }) => sinceMs), clock.monotonic());
    return {
      own: attempts.get(node) ?? null,
      others: [...attempts].filter(([other]) => other !== node).map(([, each]) => each),
      isTaken,
      wasTaken: isTraceable && (await this.#wasTaken(entry)),
      mayBeTaken: reached.some((lsn) => lsn >= entry.lsn) || [...traces.values()].includes('unknown'),
      isPrimary: positions.primary === node,
      peers: peers.length,
      askable: peers.filter((other) => this.#canAsk(other, attempts)).length,
      sinceMs: clock.monotonic() - first,
      trace,
    };
  }

  /** R1: whether a node that has lost its content, or left, since may have applied the entry. */
  async #wasTaken({ lsn, target }: Entry): Promise<boolean> {
    return target !== null && lsn <= (await this.#options.takenEarlier(target));
  }

  /** What these nodes show of an entry that an earlier leader may have sent. */
  async #traces(nodes: readonly string[], entry: Entry): Promise<Map<string, Trace>> {
    const { isSuspect, trace } = this.#options;
    const traceOf = async (node: string): Promise<readonly [string, Trace]> => {
      const found = await trace(node, entry);
      // It may have been acknowledged from a suspect copy, which serves nothing now.
      return [node, found === 'whole' && isSuspect(node, entry.target ?? '') ? 'unknown' : found];
    };
    return new Map(await Promise.all(nodes.map(traceOf)));
  }

  #hasTaken(node: string, { lsn, target }: Entry): boolean {
    const { positions, isSuspect } = this.#options;
    const shard = target ?? '';
    return positions.hasApplied(node, lsn, shard) && !isSuspect(node, shard);
  }

  #canAsk(node: string, attempts: ReadonlyMap<string, Attempts>): boolean {
    return this.#options.works(node) && !attempts.has(node) && !attempts.has(scratchOf(node));
  }

  /**
   * Asks another node. Its failure is evidence against the entry; success is evidence against the first node.
   */
  async #askAnother({ node, entry, ...trial }: Case, term: Term): Promise<Opinion> {
    const { members, trials, ask } = this.#options;
    const attempts = trials.of(entry.lsn);
    const other = members().find((each) => each !== node && this.#canAsk(each, attempts));
    if (other === undefined) return 'untried';
    const applied = Math.max(trial.applied, trials.appliedRecords(entry.lsn));
    const opinion = await ask(other, { node, entry, ...trial, applied }, term);
    if (typeof opinion === 'string') return opinion;
    const own = trials.of(entry.lsn).get(node)?.failure;
    // The asked node may be in trouble of its own: its silence says nothing about an entry that got a response.
    if (own?.kind === 'response' && opinion.kind !== 'response') return 'untried';
    if (own?.kind === 'dropped' && opinion.kind === 'hung') return 'untried';
    trials.failed(scratchOf(other), [entry.lsn], opinion);
    return opinion;
  }

  /** Records the outcome, and returns the one that stands; null when none does, or the evidence has changed. */
  async #end(trial: Case, term: Term): Promise<Decision | null> {
    const { endings, positions, onEnded } = this.#options;
    const { entry, operation } = trial;
    // An accepted delete that no node can apply is quarantined: it can no longer be refused.
    const isUndecided = needsDecision(operation) && (await this.#options.decisions.find(entry.lsn)) === null;
    if (!endings.open(entry.lsn)) return null;
    // R1: from here on, no node that applies the entry counts until the outcome is known.
    const ruling = this.#isTakenAnywhere(entry) ? null : this.#ruling(trial, isUndecided);
    const record = async (): Promise<Decision | null> => {
      const stands = ruling === null ? null : await this.#record(entry.lsn, ruling, term.epoch);
      const hasEnded = stands !== null && stands.outcome !== 'accepted';
      if (hasEnded) positions.discarded(entry.lsn);
      endings.close(entry.lsn);
      if (hasEnded) onEnded(entry, stands);
      return stands;
    };
    // The node may go first: what was sent to PostgreSQL may be executed all the same, so it is recorded to the end.
    return orOver(record(), term);
  }

  #isTakenAnywhere(entry: Entry): boolean {
    return this.#options.members().some((node) => this.#hasTaken(node, entry));
  }

  #ruling({ entry, operation, node, ...trial }: Case, isUndecided: boolean): Ruling | null {
    const { trials } = this.#options;
    // What any node has applied, every node applies.
    const applied = Math.max(trial.applied, trials.appliedRecords(entry.lsn));
    const attempts = trials.of(entry.lsn);
    const failure = (attempts.get(node) ?? [...attempts.values()][0])?.failure;
    return failure === undefined ? null : rulingOn({ operation, applied }, failure, isUndecided);
  }

  /**
   * Records the ruling, until PostgreSQL has confirmed which one stands: null when this term cannot make one. When the
   * leader's term is over first, the entry stays open until the next term has read what was recorded.
   */
  async #record(lsn: number, ruling: Ruling, epoch: number): Promise<Decision | null> {
    const { decisions, clock, leads, onRecordError } = this.#options;
    const by = { epoch, node: null, generation: 0 };
    for (;;) {
      try {
        return await decisions.record(by, lsn, ruling);
      } catch (error) {
        onRecordError(error as Error);
        if (!leads(epoch)) throw new TermOver();
        await sleep(clock, PAUSE_MS);
      }
    }
  }
}

/** What the entry changes; a collection that is created or deleted counts as one that no other node has. */
function shardsOf({ entry: { target }, operation }: Case): readonly string[] {
  if (operation.type === 'modify_collection') return operation.shards;
  return target === null ? [] : [target];
}

function isFatal(attempts: Attempts | undefined): boolean {
  return attempts !== undefined && attempts.alone > 0 && /^(died|hung)$/.test(attempts.failure.kind);
}

/** The decision about an entry that fails like this on every node it was offered to. */
function rulingOn(
  { operation, applied }: Pick<Case, 'operation' | 'applied'>,
  failure: Failure,
  isUndecided: boolean,
): Ruling {
  const isResponse = failure.kind === 'response';
  const response = isResponse
    ? { status: failure.status, body: failure.body }
    : { status: 500, body: Buffer.from(errorBody('InternalError', NO_RESPONSE)) };
  if (applied > 0 && operation.type === 'records') {
    const rest = operation.call.ids.length - applied;
    const message =
      `The first ${applied} records of this call were applied. The other ${rest} were not: the servers fail on them` +
      (isResponse ? ` with HTTP ${failure.status}.` : '.');
    const body = JSON.stringify({ error: 'InternalError', message, applied });
    return { outcome: 'partly_applied', status: 500, body: Buffer.from(body) };
  }
  return { outcome: isUndecided ? 'refused' : 'quarantined', ...response };
}

const NO_RESPONSE =
  'The servers end or hang on this request, so it was refused. A copy that shows an effect of it is rebuilt, unless it is the only one. Change the request before you send it again.';
