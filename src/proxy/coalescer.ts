// Query coalescing by natural batching: while as many calls are under way as the nodes work on well, what arrives
// waits, and goes as one call when one of them returns. Alone, a query goes at once: there are no timers.
// Measured on a stock server: one query a call 650/s, 32 a call 5,800/s.

import type { Collection } from '../catalog/catalog.ts';
import { cutQueryAnswer } from '../chroma/query-answer.ts';
import { mergeQueryCalls, type QueryCall } from '../chroma/query-call.ts';
import type { Clock } from '../util/clock.ts';
import type { Answer, WholeAnswer } from './answer.ts';

/** What is queried. */
export interface QueryTarget {
  readonly shard: string;
  readonly collection: Collection;
}

export interface CoalescerOptions {
  /** Sends one query body to a node that has applied `floor`. */
  readonly send: (
    target: QueryTarget,
    floor: number,
    body: readonly Buffer[],
    signal: AbortSignal,
  ) => Promise<Answer>;
  /** Calls of one lane under way at most: two for each node keep it at work while answers are cut. */
  readonly callsMax: () => number;
  readonly clock: Clock;
}

interface Member {
  readonly call: QueryCall;
  readonly floor: number;
  readonly signal: AbortSignal;
  readonly resolve: (answer: Answer | Promise<Answer>) => void;
}

/** Queries that may go in one call. */
interface Lane {
  readonly target: QueryTarget;
  readonly queue: Member[];
  underWay: number;
  /** Bytes of a row in the last answer, to predict the next one's size. */
  rowBytes: number;
}

// A server's answer grows with every vector while the gain flattens: 32 to 64 a call is where it peaks.
const VECTORS_MAX = 64;
// A server fails above 32,766 rows in a call (chroma-facts, section 7).
const ROWS_MAX = 32_000;
// Larger answers are not worth holding whole.
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
// A lane whose merged call failed sends its queries one by one for this long: one of them may be the cause.
const APART_MS = 10_000;
const FIRST_ROW_BYTES = 1_024;
/** Text of a float in an answer, about. */
const FLOAT_BYTES = 12;

const NEVER = new AbortController().signal;

export class Coalescer {
  readonly #options: CoalescerOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #apartUntil = new Map<string, number>();
  /** Calls that carried more than one query, and queries in all: what coalescing gains. */
  readonly counts = { calls: 0, queries: 0 };

  constructor(options: CoalescerOptions) {
    this.#options = options;
  }

  /** The answer to one query, as if it had been sent alone. */
  query(target: QueryTarget, call: QueryCall, floor: number, signal: AbortSignal): Promise<Answer> {
    const key = `${target.shard} ${call.dimension} ${call.key}`;
    this.counts.queries += 1;
    if (this.#isApart(key)) return this.#alone(target, { call, floor, signal });
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      const rowBytes = FIRST_ROW_BYTES + (call.withEmbeddings ? call.dimension * FLOAT_BYTES : 0);
      lane = { target, queue: [], underWay: 0, rowBytes };
      this.#lanes.set(key, lane);
    }
    const mine = lane;
    return new Promise((resolve) => {
      mine.queue.push({ call, floor, signal, resolve });
      this.#next(key, mine);
    });
  }

  #next(key: string, lane: Lane): void {
    while (lane.queue.length > 0 && lane.underWay < this.#options.callsMax()) {
      const members = takeBatch(lane);
      lane.underWay += 1;
      void this.#send(key, lane, members).finally(() => {
        lane.underWay -= 1;
        this.#next(key, lane);
        if (lane.underWay === 0 && lane.queue.length === 0) this.#lanes.delete(key);
      });
    }
  }

  /** Never rejects: every member gets an answer or an error of its own. */
  async #send(key: string, lane: Lane, members: readonly Member[]): Promise<void> {
    this.counts.calls += 1;
    const first = members[0] as Member;
    if (members.length === 1) {
      const alone = this.#alone(lane.target, first);
      first.resolve(alone);
      await alone.catch(() => undefined);
      return;
    }
    const floor = Math.max(...members.map((member) => member.floor));
    const body = mergeQueryCalls(members.map((member) => member.call));
    const answer = await this.#options.send(lane.target, floor, body, NEVER).catch(() => null);
    const cut = answer === null ? null : cutFor(answer, members);
    if (cut === null) {
      this.#setApart(key);
      for (const member of members) member.resolve(this.#alone(lane.target, member));
      return;
    }
    const { headers, bodies, bytes } = cut;
    const rows = members.reduce((sum, { call }) => sum + call.count * call.rowsPerVector, 0);
    lane.rowBytes = Math.max(1, bytes / rows);
    for (const [index, member] of members.entries()) {
      member.resolve({ status: 200, body: bodies[index] as Buffer, headers });
    }
  }

  #alone(target: QueryTarget, { call, floor, signal }: Omit<Member, 'resolve'>): Promise<Answer> {
    return this.#options.send(target, floor, [call.body], signal);
  }

  #isApart(key: string): boolean {
    const until = this.#apartUntil.get(key);
    if (until === undefined) return false;
    if (this.#options.clock.monotonic() < until) return true;
    this.#apartUntil.delete(key);
    return false;
  }

  #setApart(key: string): void {
    const now = this.#options.clock.monotonic();
    for (const [other, until] of this.#apartUntil) if (until <= now) this.#apartUntil.delete(other);
    this.#apartUntil.set(key, now + APART_MS);
  }
}

/** As many of those that wait as fit one call; always at least one. */
function takeBatch({ queue, rowBytes }: Lane): Member[] {
  let vectors = 0;
  let rows = 0;
  let taken = 0;
  for (const { call } of queue) {
    vectors += call.count;
    rows += call.count * call.rowsPerVector;
    if (taken > 0 && (vectors > VECTORS_MAX || rows > ROWS_MAX || rows * rowBytes > ANSWER_BYTES_MAX)) break;
    taken += 1;
  }
  return queue.splice(0, taken);
}

function cutFor(
  answer: Answer,
  members: readonly Member[],
): { headers: WholeAnswer['headers'] & object; bodies: Buffer[]; bytes: number } | null {
  if (typeof answer === 'function' || answer.status !== 200 || !Buffer.isBuffer(answer.body)) return null;
  const counts = members.map((member) => member.call.count);
  const bodies = cutQueryAnswer(answer.body, counts);
  return bodies === null ? null : { headers: answer.headers ?? {}, bodies, bytes: answer.body.length };
}
