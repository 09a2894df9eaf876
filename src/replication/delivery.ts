// Repeats one mutating call to one node until the node responds or has failed it for good. A call is never abandoned,
// and never sent twice, while its connection lives. After a call of unknown outcome a different call waits until the
// node has responded for a settling time: a delayed duplicate may still be executing.

import { type NodeClient } from '../chroma/client/node-client.ts';
import type { MutateRequest, NodeResponse } from '../chroma/client/node-request.ts';
import { isSuccess } from '../chroma/protocol/response-effect.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { orOver, TermOver, type Term } from '../coordination/term.ts';
import type { Node } from '../nodes/node.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint, crashPointOnceSent } from '../util/crash-point.ts';
import type { Failure, Trials } from './trials.ts';
import type { Workload } from './workload.ts';

/** Thrown when a call has used up its attempts although the node's canary succeeds. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.kind === 'response' ? describe(failure) : 'the connection ended without a response');
    this.failure = failure;
  }
}

export interface DeliveryOptions {
  readonly node: string;
  readonly client: NodeClient;
  readonly clock: Clock;
  readonly workload: Workload;
  readonly trials: Pick<Trials, 'failed' | 'of'>;
  /** Failed attempts after which a node counts as having failed an entry. */
  readonly attemptsMax: number;
  /** Why the node's canary fails; null: then a failed attempt is the call's fault. */
  readonly canary: () => Promise<string | null>;
  /** How long a node must have responded before a different call follows one whose outcome is unknown, ms. */
  readonly settleMs: number;
  /** Called when a call gets no response, or one that a working node does not give. */
  readonly onTrouble: (error: Error) => void;
  /** Called when a call of unknown outcome was repeated: for so many ms its duplicate may still be executing. */
  readonly onDuplicate: (boundMs: number) => void;
}

export interface Call {
  readonly request: Omit<MutateRequest, 'beforeLast'>;
  /** Of its entries, in order. */
  readonly lsns: readonly number[];
  /** Estimated work (chroma/batch/split.ts). */
  readonly work: number;
  /** See Load. */
  readonly setupMs?: number;
  /** Whether a response that is not 2xx ends the call. */
  readonly isFinal: (response: NodeResponse) => boolean;
  /** Called with a response that came after the term had ended. */
  readonly onLate?: (response: NodeResponse) => void;
}

// Sooner would only add load to a failing node; later than a second would delay writes after recovery.
const RECONNECT_FIRST_MS = 20;
const RECONNECT_MAX_MS = 1_000;
// A failure is likely to repeat at once: attempts are spread over seconds, so that a short overload passes.
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 2_000;
// Attempts of a call for several entries; then they are sent in smaller calls.
const MERGED_ATTEMPTS_MAX = 2;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #inFlight = new Set<Promise<unknown>>();
  /** The bound of a call of unknown outcome whose process lives, ms; null when there is none. */
  #unknownMs: number | null = null;
  /** The entries of that call; null when they are not known. */
  #unknownLSNs: string | null = null;
  /** No different call before this moment, clock.monotonic() ms. */
  #settledAt = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Mutating calls the node has not responded to yet. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Resolves when no call of an earlier term is in flight any more, or the term is over. */
  async idle(term: Term): Promise<void> {
    await orOver(Promise.allSettled(this.#inFlight), term);
  }

  /** Resolves when every call that went out has ended. */
  async ended(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  /** Assumes a call of unknown outcome: one of an earlier leader may still be executed for so many ms. */
  assumeCallsInFlight(boundMs: number): void {
    // The entries of a call without a response stay known.
    if (this.#unknownMs === null) this.#unknownLSNs = null;
    this.#unknownMs = Math.max(this.#unknownMs ?? 0, boundMs);
  }

  /** The node's process is gone: no call has a delayed duplicate. */
  processGone(): void {
    this.#unknownMs = null;
    this.#settledAt = 0;
  }

  /**
   * The node's response: 2xx, or one that `isFinal` accepts. Any other outcome is repeated with growing pauses. Throws
   * TermOver when the term ends first, CallFailed when the attempts are used up and the node's canary succeeds.
   */
  async call(call: Call, term: Term): Promise<NodeResponse> {
    const { clock } = this.#options;
    if (this.#mayBeExecuting(call.lsns)) await this.settled(term, call.lsns);
    let reconnectMs = RECONNECT_FIRST_MS;
    for (let failures = 0; ;) {
      if (!term.held()) throw new TermOver();
      const result = await this.#attempt(call, term);
      if (result.type === 'unsent') {
        await sleep(clock, reconnectMs, term.signal);
        reconnectMs = Math.min(reconnectMs * 2, RECONNECT_MAX_MS);
        continue;
      }
      if (result.type === 'response') {
        this.#settle();
        const { response } = result;
        if (isSuccess(response) || call.isFinal(response)) return response;
        const failure: Failure = { kind: 'response', status: response.status, body: response.body };
        if (await this.#isCallAtFault(failure, call)) failures += 1;
      } else failures += 1;
      await sleep(clock, this.#pauseMs(call, result.type), term.signal);
      const last = this.#failedForGood(call, failures);
      if (last === null || !(await this.#canaryWorks(term))) continue;
      this.#settle();
      throw new CallFailed(last);
    }
  }

  /**
   * Resolves when no call of unknown outcome can still be executed, as far as that can be known; `lsns`: but for the same
   * call, of these entries, which may be repeated. Throws TermOver.
   */
  async settled(term: Term, lsns: readonly number[] = []): Promise<void> {
    const { clock } = this.#options;
    while (this.#mayBeExecuting(lsns)) {
      if (!term.held()) throw new TermOver();
      if (this.#unknownMs === null) await sleep(clock, this.#settledAt - clock.monotonic(), term.signal);
      else if (await this.#canaryWorks(term)) this.#settle();
      else await sleep(clock, RETRY_FIRST_MS, term.signal);
    }
    if (!term.held()) throw new TermOver();
  }

  #mayBeExecuting(lsns: readonly number[]): boolean {
    if (this.#settledAt > this.#options.clock.monotonic()) return true;
    if (this.#unknownMs === null) return false;
    return lsns.length === 0 || (this.#unknownLSNs !== null && this.#unknownLSNs !== lsns.join());
  }

  /** Grows with every attempt, including those of earlier calls for the same entry. */
  #pauseMs({ lsns }: Call, type: 'response' | 'dropped'): number {
    const { trials, node } = this.#options;
    const attempts = trials.of(lsns[0] ?? 0).get(node)?.attempts ?? 1;
    const firstMs = type === 'response' ? RETRY_FIRST_MS : RECONNECT_FIRST_MS;
    return Math.min(firstMs * 2 ** (attempts - 1), RETRY_MAX_MS);
  }

  /** A call of unknown outcome was repeated, and the node has responded. */
  #settle(): void {
    if (this.#unknownMs === null) return;
    const { clock, settleMs } = this.#options;
    const boundMs = this.#unknownMs;
    this.#unknownMs = null;
    this.#settledAt = clock.monotonic() + Math.max(settleMs, boundMs);
    this.#options.onDuplicate(boundMs);
  }

  /** Counts the failure against the call when the node works otherwise; if not, the node's state will change. */
  async #isCallAtFault(failure: Failure, { lsns }: Call): Promise<boolean> {
    const { node, trials, onTrouble, canary } = this.#options;
    onTrouble(new BadResponse(failure));
    if ((await canary()) !== null) return false;
    trials.failed(node, lsns, failure);
    return true;
  }

  async #canaryWorks(term: Term): Promise<boolean> {
    const reason = await orOver(this.#options.canary(), term);
    return reason === null;
  }

  /** The last failure when there may be no further attempt; null when there may. */
  #failedForGood({ lsns }: Call, failures: number): Failure | null {
    const { trials, node, attemptsMax } = this.#options;
    const of = trials.of(lsns[0] ?? 0).get(node);
    if (of === undefined || failures === 0) return null;
    const isOver = lsns.length > 1 ? failures >= MERGED_ATTEMPTS_MAX : of.alone >= attemptsMax;
    return isOver ? of.failure : null;
  }

  async #attempt(call: Call, term: Term): Promise<Attempt> {
    const { client, workload } = this.#options;
    const beforeLast = (): void => {
      if (!term.held()) throw new TermOver();
    };
    const { lsns, work, setupMs = 0 } = call;
    const end = workload.begin({ lsns, work, setupMs });
    const sent = client.mutate({ ...call.request, beforeLast });
    crashPointOnceSent('call_sent');
    const ended = sent.then(
      (response): Attempt => {
        end(true);
        if (term.signal.aborted) call.onLate?.(response);
        return { type: 'response', response };
      },
      (error: unknown): Attempt => {
        end(false);
        if (!(error instanceof NodeError)) throw error;
        return this.#unanswered(call, error);
      },
    );
    const tracked = ended.catch(() => undefined).finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
    const result = await orOver(ended, term);
    crashPoint('call_responded');
    return result;
  }

  #unanswered({ lsns, work, setupMs = 0 }: Call, error: NodeError): Attempt {
    const { workload, trials, node, onTrouble } = this.#options;
    let type: 'dropped' | 'unsent' = 'unsent';
    // A refused connection proves that the process, and its calls, are gone.
    if (error.code === 'refused') this.processGone();
    else if (error.sent && error.code !== 'aborted') {
      this.#unknownMs = Math.max(this.#unknownMs ?? 0, workload.boundMs(work, setupMs));
      this.#unknownLSNs = lsns.join();
      // Counted here: when the node goes down the applier stops, and makes no further attempt.
      trials.failed(node, lsns, { kind: 'dropped', status: 0, body: Buffer.from(error.message) });
      type = 'dropped';
    }
    onTrouble(error);
    return { type };
  }
}

type Attempt =
  { readonly type: 'response'; readonly response: NodeResponse } | { readonly type: 'dropped' | 'unsent' };

/** The node failed a call that the log has validated. */
class BadResponse extends Error {
  override readonly name = 'BadResponse';

  constructor(failure: Failure) {
    super(describe(failure));
  }
}

function describe({ status, body }: Failure): string {
  return `HTTP ${status}: ${body.toString('utf8', 0, 300)}`;
}

/** Reports the failure of a call to its node. */
export function reportTrouble(member: Node, error: Error): void {
  if (error instanceof NodeError && error.code === 'older_content') member.on('lost_content', error.message);
  if (error instanceof NodeError) member.callFailed(error, error.code === 'refused');
  else if (error instanceof BadResponse) member.respondedBadly(error);
}
