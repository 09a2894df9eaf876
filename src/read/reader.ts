// Reads: choose a node, pass the request on with the physical id in its path, hand the answer back as it came.

import type { HttpResponse, ResponseHeaders, ResponseWriter, StreamedResponse, WholeResponse } from '../http/response.ts';
import type { ResponseBudget, UnreadResponse } from '../http/response-budget.ts';
import { PolychromeError } from '../errors.ts';
import type { Collection } from '../catalog/catalog.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import { NodeError, type AnswerFlow, type NodeHeaders } from '../chroma/client/node-client.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { Chosen, NodeChoice, Wanted } from './node-selection.ts';

/** A read as it goes to a node. `path` is built for the physical id of the node chosen. */
export interface NodeRead {
  readonly method: 'GET' | 'POST';
  readonly path: (physical: string) => string;
  readonly body?: Buffer | readonly Buffer[];
}

/** An answer of 200 that is held whole, and what it says of itself. */
export interface WholeBody {
  readonly body: Buffer;
  readonly headers: ResponseHeaders;
  /** LSN its node had certainly applied. */
  readonly applied: number;
}

/** The same as WholeBody; null for anything else. */
export function wholeBody(answer: HttpResponse): WholeBody | null {
  if (typeof answer === 'function' || answer.status !== 200 || !Buffer.isBuffer(answer.body)) return null;
  const { body, headers = {} } = answer;
  return { body, headers, applied: Number(headers['x-polychrome-lsn'] ?? 0) };
}

/** An answer that is of use only whole; null for any other. The rest of one too large to be held is not read. */
export async function readWhole(
  reader: Pick<Reader, 'read'>,
  wanted: Omit<Wanted, 'except'>,
  read: NodeRead,
  client?: AbortSignal,
): Promise<WholeBody | null> {
  const enough = new AbortController();
  const giveUp = (): void => enough.abort();
  // Not AbortSignal.any: until the next full collection it keeps alive what either signal holds (docs/performance.md).
  client?.addEventListener('abort', giveUp, { once: true });
  if (client?.aborted === true) giveUp();
  try {
    const answer = await reader.read(wanted, read, enough.signal);
    if (typeof answer === 'function') giveUp();
    return wholeBody(answer);
  } finally {
    client?.removeEventListener('abort', giveUp);
  }
}

/** A get or a query of a collection's records. */
export function recordsRead(
  collection: Collection,
  action: 'get' | 'query',
  body: readonly Buffer[],
): NodeRead {
  return { method: 'POST', path: (physical) => recordsPath(collection, physical, action), body };
}

/** What one node said, whole. */
interface NodeAnswer {
  readonly status: number;
  readonly headers: NodeHeaders;
  readonly body: Buffer;
  /** LSN this node had applied before it was asked: what the answer certainly reflects. */
  readonly lsn: number;
}

export interface ReaderOptions {
  readonly choice: NodeChoice;
  readonly applied: (node: string, shard: string | null) => number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly timeoutMs: number;
  readonly responseBudget: ResponseBudget;
}

// Answers up to here are held until whole, so that a node that dies half-way goes unnoticed: the read is made again
// elsewhere. Larger ones are passed on as they come.
export const HELD_BYTES_MAX = 8 * 1024 * 1024;
// Held in any case: what a connection to a node brings at once, and there are few of those.
const SMALL_BYTES = 64 * 1024;
// A read that fails on two nodes is more likely to be the cause than the victim (docs/chroma-behaviour.md#requests-without-a-response: some
// requests make a server drop the connection), so it is not carried round.
const ATTEMPTS_MAX = 2;

// A server answers so while a collection's first write is in flight (observed on 1.0.5). With these pauses a read waits
// 8 s at most.
const UNWRITTEN_TEXT = 'Nothing found on disk';
const UNWRITTEN_PAUSE_MS = 25;
const UNWRITTEN_PAUSE_MAX_MS = 500;
const UNWRITTEN_ATTEMPTS_MAX = 20;
const UNWRITTEN = new PolychromeError(
  'no_node',
  'The nodes asked cannot read this collection yet: its first write is in progress. Try again.',
);

function isUnwritten({ status, body }: NodeAnswer): boolean {
  return status === 500 && body.length < SMALL_BYTES && body.includes(UNWRITTEN_TEXT);
}

// Until a probe has found out why a node cannot be reached, it may be chosen again.
const UNSENT_PAUSE_MS = 20;
const NOBODY: ReadonlySet<string> = new Set();

export class Reader {
  readonly #options: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** The answer of an eligible node; asked once more, elsewhere if it can be, after a failure. */
  async read(wanted: Omit<Wanted, 'except'>, read: NodeRead, client: AbortSignal): Promise<HttpResponse> {
    const { choice, clock, timeoutMs } = this.#options;
    const until = clock.monotonic() + timeoutMs;
    const except = new Set<string>();
    let unwritten = 0;
    for (let sent = 0; ;) {
      // Elsewhere if anybody else can; otherwise whoever can first, be it the one that failed.
      const chosen =
        choice.now({ ...wanted, except }) ??
        (await this.#await({ ...wanted, except: NOBODY }, until, client));
      try {
        const answer = await this.#ask(chosen, wanted, read, until - clock.monotonic(), client);
        if (typeof answer === 'function') return answer;
        except.add(chosen.node.member.id);
        if (isUnwritten(answer)) {
          if (++unwritten >= UNWRITTEN_ATTEMPTS_MAX) throw UNWRITTEN;
          if (choice.now({ ...wanted, except }) !== null) continue;
          const pauseMs = Math.min(UNWRITTEN_PAUSE_MAX_MS, UNWRITTEN_PAUSE_MS * 2 ** unwritten);
          if (clock.monotonic() + pauseMs >= until) throw UNWRITTEN;
          await sleep(clock, pauseMs, client);
          if (client.aborted) throw new PolychromeError('stopping', 'The client went away.');
          except.clear();
          continue;
        }
        const sound = answer.status < 500 && answer.status !== 404;
        if (sound || ++sent >= ATTEMPTS_MAX || choice.now({ ...wanted, except }) === null)
          return this.#give(answer);
      } catch (error) {
        except.add(chosen.node.member.id);
        // What never left this process has had no chance to do harm, and does not count as sent.
        const failure = this.#failed(chosen, error, client);
        // A refused connection has taken the node out of the choice; anything else may come back at once.
        if (!failure.sent && failure.code !== 'refused') await sleep(clock, UNSENT_PAUSE_MS, client);
        if (failure.sent && ++sent >= ATTEMPTS_MAX) throw gaveUp(except, error);
      }
    }
  }

  async #await(wanted: Wanted, until: number, client: AbortSignal): Promise<Chosen> {
    const { choice, clock } = this.#options;
    const deadline = new AbortController();
    const cancel = clock.after(until - clock.monotonic(), () => deadline.abort());
    try {
      return await choice.choose(wanted, AbortSignal.any([deadline.signal, client]));
    } finally {
      cancel();
    }
  }

  /** The same, for callers that need the whole answer. Throws when it is too large to be held. */
  async whole(wanted: Omit<Wanted, 'except'>, read: NodeRead, client: AbortSignal): Promise<Buffer> {
    const whole = await readWhole(this, wanted, read, client);
    if (whole !== null) return whole.body;
    throw new PolychromeError('internal', 'A node answered in a way that was not expected.');
  }

  /** Reports a failure; throws when asking again would not help. */
  #failed({ node }: Chosen, error: unknown, client: AbortSignal): NodeError {
    if (!(error instanceof NodeError)) throw error;
    // The node was given up, not the read: others can answer it.
    if (error.code === 'aborted' && !client.aborted) return error;
    if (error.code === 'aborted')
      throw new PolychromeError('stopping', 'The client went away.', { cause: error });
    if (error.code === 'busy') throw new PolychromeError('overloaded', 'Too many reads wait. Try again.');
    node.member.callFailed(error, error.code === 'refused');
    this.#options.logger.debug({ node: node.member.id, error: error.message }, 'a read had no answer');
    if (error.code !== 'timeout') return error;
    throw new PolychromeError('no_node', `${node.member.id} did not answer in time. Try again.`, {
      cause: error,
    });
  }

  #give(answer: NodeAnswer): WholeResponse {
    // A node does not have what the catalog has: never passed on as if the collection did not exist.
    if (answer.status === 404 && answer.body.length > 0) {
      throw new PolychromeError(
        'no_node',
        'The nodes asked do not have this collection at the moment. Try again.',
      );
    }
    const type = answer.headers['content-type'];
    const headers = { 'content-type': typeof type === 'string' ? type : 'application/json' };
    return {
      status: answer.status,
      body: answer.body,
      headers: { ...headers, 'x-polychrome-lsn': String(answer.lsn) },
    };
  }

  async #ask(
    { node, physical }: Chosen,
    wanted: Omit<Wanted, 'except'>,
    read: NodeRead,
    deadlineMs: number,
    client: AbortSignal,
  ): Promise<NodeAnswer | StreamedResponse> {
    const lsn = this.#options.applied(node.member.id, wanted.shard);
    const sink = new HeldAnswer(this.#options.responseBudget);
    const asked = new AbortController();
    const giveUp = (): void => asked.abort();
    client.addEventListener('abort', giveUp, { once: true });
    if (client.aborted) giveUp();
    node.asked.add(asked);
    const request = {
      method: read.method,
      path: read.path(physical ?? ''),
      ...(read.body === undefined ? {} : { body: read.body }),
      deadlineMs: Math.max(1, deadlineMs),
      signal: asked.signal,
    };
    const done = node.client.stream(request, sink).finally(() => {
      sink.release();
      node.asked.delete(asked);
      client.removeEventListener('abort', giveUp);
    });
    done.catch(() => undefined);
    await Promise.race([done, sink.overflowed]);
    if (!sink.large) {
      await done;
      return { status: sink.status, headers: sink.headers, body: sink.body(), lsn };
    }
    return (response) => {
      const type = sink.headers['content-type'];
      response.head(sink.status, {
        'content-type': typeof type === 'string' ? type : 'application/json',
        'x-polychrome-lsn': String(lsn),
      });
      return Promise.race([done, sink.passTo(response, giveUp)]).then(() => done);
    };
  }
}

function gaveUp(asked: ReadonlySet<string>, cause: unknown): PolychromeError {
  const names = [...asked].join(', ');
  return new PolychromeError('no_node', `The nodes asked did not answer (${names}). Try again.`, { cause });
}

/** Holds an answer until it is whole or too large, then passes it on. */
class HeldAnswer {
  status = 0;
  headers: NodeHeaders = {};
  large = false;
  readonly overflowed: Promise<void>;
  readonly #responseBudget: ResponseBudget;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Of them, what this one has to give back. */
  #counted = 0;
  #waiting: UnreadResponse | null = null;
  #flow: AnswerFlow | null = null;
  #response: ResponseWriter | null = null;
  #onOverflow: () => void = () => undefined;

  constructor(responseBudget: ResponseBudget) {
    this.#responseBudget = responseBudget;
    this.overflowed = new Promise((resolve) => (this.#onOverflow = resolve));
  }

  head(status: number, headers: NodeHeaders, flow: AnswerFlow): void {
    this.status = status;
    this.headers = headers;
    this.#flow = flow;
  }

  data(chunk: Buffer): void {
    if (this.#response !== null) return this.#pass(chunk);
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.large || this.#mayHold(chunk.length)) return;
    this.large = true;
    this.#flow?.pause();
    this.#onOverflow();
  }

  body(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  /** Hands on what is held and everything that follows, at the client's pace; `giveUp` ends the call. */
  async passTo(response: ResponseWriter, giveUp: () => void): Promise<void> {
    this.#response = response;
    const waiting = this.#responseBudget.waits(this.#counted, giveUp);
    this.#waiting = waiting;
    this.#counted = 0;
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) {
      await response.write(chunk);
      waiting.taken(chunk.length);
    }
    waiting.over();
    this.#flow?.resume();
    return new Promise(() => undefined);
  }

  /** The node's part is over: what is held is somebody else's from now on, or nobody's. */
  release(): void {
    this.#responseBudget.giveBack(this.#counted);
    this.#counted = 0;
    this.#waiting?.over();
  }

  #mayHold(bytes: number): boolean {
    this.#counted += bytes;
    if (this.#bytes <= HELD_BYTES_MAX && this.#responseBudget.tryHold(bytes)) return true;
    this.#responseBudget.hold(bytes); // it is here
    return this.#bytes <= SMALL_BYTES;
  }

  #pass(chunk: Buffer): void {
    this.#flow?.pause();
    void (this.#response as ResponseWriter).write(chunk).then(() => this.#flow?.resume());
  }
}
