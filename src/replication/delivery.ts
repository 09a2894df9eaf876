// One mutating call to one node, made until it is answered. No call is abandoned while its connection lives, no
// second copy goes out beside a living first, and a different call follows one that went unanswered only after the
// node has been answering for a settling time: its late twin may still be at work inside the node.

import { NodeError, type MutateRequest, type NodeClient, type NodeResponse } from '../chroma/node-client.ts';
import type { Term } from '../cluster/lease.ts';
import type { Member } from '../cluster/member.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint, crashPointOnceSent } from '../util/crash-point.ts';

/** Thrown when the term ends first; a call under way goes on, and the next term waits for it. */
export class TermOver extends Error {
  override readonly name = 'TermOver';
}

/** A call that was sent again and again without being carried out, as far as can be told. */
export interface RepeatedCall {
  /** LSNs of the first and the last entry in it. */
  readonly from: number;
  readonly to: number;
  /** Times it was sent in vain. */
  readonly attempts: number;
  /** Of the first of them, clock.monotonic() ms. */
  readonly sinceMs: number;
  /** What the last one came to. */
  readonly error: string;
}

export interface DeliveryOptions {
  readonly client: NodeClient;
  readonly clock: Clock;
  /** How long a node must have answered before a different call follows an unanswered one, ms. */
  readonly settleMs: number;
  /** Called with every failure to get an answer, or with an answer that says the node cannot work. */
  readonly onTrouble: (error: Error) => void;
  /** An unanswered call was made again and answered: its twin may still be at work inside the node. */
  readonly onTwin: () => void;
  /** Told of a call each time it was sent in vain ten times more. */
  readonly onRepeated: (call: RepeatedCall) => void;
}

// Repeating sooner only adds load to a node in trouble; later than a second would be felt as a pause after recovery.
const BACKOFF_FIRST_MS = 20;
const BACKOFF_MAX_MS = 1_000;
// After so many the pauses are a second long: a node that merely had a bad moment has answered.
const TOLD_EVERY = 10;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Calls that were sent in vain, those of earlier terms too, by the LSN of their first entry. */
  readonly #inVain = new Map<number, RepeatedCall>();
  /** A call ended unanswered while the node's process lived on. */
  #unsettled = false;
  /** No different call before this moment, clock.monotonic() ms. */
  #settledAt = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Mutating calls the node has not answered yet. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** The call that was sent in vain most often; null when none was more than once. */
  get repeated(): RepeatedCall | null {
    let most: RepeatedCall | null = null;
    for (const call of this.#inVain.values()) if (call.attempts > (most?.attempts ?? 1)) most = call;
    return most;
  }

  /** Resolves when no call of an earlier term is under way any more, or the term is over. */
  async idle(term: Term): Promise<void> {
    await orOver(Promise.allSettled(this.#inFlight), term);
  }

  /** Resolves when every call that went out has ended. */
  async ended(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  /** Treats the node as if a call had gone unanswered: whoever led before may have left one. */
  distrust(): void {
    this.#unsettled = true;
  }

  /** The node's process is gone, and every call with it that has ended here: none of them has a late twin. */
  processGone(): void {
    this.#unsettled = false;
  }

  /**
   * The node's answer: 2xx, or one that `isFinal` accepts as the end of it. Everything else is repeated, with growing
   * pauses, until the term is over (throws TermOver). `lsns`: of the entries it brings, in order.
   */
  async call(
    request: Omit<MutateRequest, 'beforeLast'>,
    lsns: readonly number[],
    isFinal: (response: NodeResponse) => boolean,
    term: Term,
  ): Promise<NodeResponse> {
    const { clock, settleMs } = this.#options;
    const settling = this.#settledAt - clock.monotonic();
    if (settling > 0) await sleep(clock, settling, term.signal);
    for (let pauseMs = BACKOFF_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BACKOFF_MAX_MS)) {
      if (!term.held()) throw new TermOver();
      const response = await this.#attempt(request, lsns, term);
      if (response !== null) {
        if (this.#unsettled) {
          this.#unsettled = false;
          this.#settledAt = clock.monotonic() + settleMs;
          this.#options.onTwin();
        }
        const isDone = response.status >= 200 && response.status < 300;
        if (isDone) this.#inVain.delete(lsns[0] ?? 0);
        if (isDone || isFinal(response)) return response;
        const trouble = new NodeAnswered(response);
        this.#options.onTrouble(trouble);
        this.sentInVain(lsns, trouble);
      }
      await sleep(clock, pauseMs, term.signal);
    }
  }

  /** A call that brought these entries has not been carried out, as far as can be told, and will be made again. */
  sentInVain(lsns: readonly number[], error: Error): void {
    const [from = 0, to = 0] = [lsns[0], lsns.at(-1)];
    const before = this.#inVain.get(from);
    const attempts = (before?.attempts ?? 0) + 1;
    const sinceMs = before?.sinceMs ?? this.#options.clock.monotonic();
    const call = { from, to, attempts, sinceMs, error: error.message };
    this.#inVain.set(from, call);
    if (attempts % TOLD_EVERY === 0) this.#options.onRepeated(call);
  }

  /** The node has gone past the entries up to `lsn`: none of them is sent again. */
  passed(lsn: number): void {
    for (const from of this.#inVain.keys()) if (from <= lsn) this.#inVain.delete(from);
  }

  async #attempt(
    request: Omit<MutateRequest, 'beforeLast'>,
    lsns: readonly number[],
    term: Term,
  ): Promise<NodeResponse | null> {
    const beforeLast = (): void => {
      if (!term.held()) throw new TermOver();
    };
    const call = this.#options.client.mutate({ ...request, beforeLast });
    crashPointOnceSent('call_sent');
    const ended = call.then(
      (response) => response,
      (error: unknown) => {
        if (!(error instanceof NodeError)) throw error;
        // A refused connection proves that the process was gone, and its calls with it.
        if (error.code === 'refused') this.processGone();
        else if (error.sent) {
          this.#unsettled = true;
          this.sentInVain(lsns, error); // here: the death of a node ends the term, and nobody waits any more
        }
        this.#options.onTrouble(error);
        return null;
      },
    );
    const tracked = ended.catch(() => undefined).finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
    const response = await orOver(ended, term);
    crashPoint('call_answered');
    return response;
  }
}

/** The node answered, and the answer says it cannot do what the log knows to be right. */
class NodeAnswered extends Error {
  override readonly name = 'NodeAnswered';
  readonly status: number;

  constructor(response: NodeResponse) {
    super(`HTTP ${response.status}: ${response.body.subarray(0, 300).toString()}`);
    this.status = response.status;
  }
}

/** Tells a member what a call to it ran into. */
export function reportTrouble(member: Member, error: Error): void {
  if (error instanceof NodeError && error.code === 'older_content') member.on('lost_content', error.message);
  if (error instanceof NodeError) member.callFailed(error, error.code === 'refused');
  else if (error instanceof NodeAnswered) member.answeredBadly(error);
}

/** `work`'s result, or TermOver when the term ends first. */
export function orOver<T>(work: Promise<T>, term: Term): Promise<T> {
  if (term.signal.aborted) {
    work.catch(() => undefined);
    return Promise.reject(new TermOver());
  }
  return new Promise((resolve, reject) => {
    const over = (): void => reject(new TermOver());
    term.signal.addEventListener('abort', over, { once: true });
    work.then(resolve, reject).finally(() => term.signal.removeEventListener('abort', over));
  });
}
