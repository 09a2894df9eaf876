// The client that speaks to one Chroma node, and the only way to it. It keeps three promises: every connection has
// proved whose it is (I12, verified-connector.ts); a mutating call is never abandoned while its connection lives; and
// nothing is sent twice without the caller's asking. undici's Client does HTTP/1.1 over one connection; the choice
// among a few, and the queue for them, are made here: undici's Pool has no bound, and no way out at a deadline.

import { Client, type Dispatcher } from 'undici';
import type { Clock } from '../../util/clock.ts';
import { BufferedAnswer } from './buffered-response.ts';
import { gather, inPieces, PIECE_BYTES } from './request-body.ts';
import { sameIdentity, type Expected, type Identity } from './identity.ts';
import {
  createUnverifiedConnector,
  createVerifiedConnector,
  ConnectionAttempts,
  NodeError,
  type AttemptOutcome,
  type ConnectionFacts,
} from './verified-connector.ts';

export { NodeError, type ConnectionFacts, type NodeErrorCode } from './verified-connector.ts';

export type NodeHeaders = Record<string, string | string[] | undefined>;

export interface NodeResponse {
  readonly status: number;
  readonly headers: NodeHeaders;
  readonly body: Buffer;
}

export interface ReadRequest {
  /** PUT only for what changes nothing (api/v2/body-probe.ts). */
  readonly method: 'GET' | 'POST' | 'PUT';
  /** As built by paths.ts; the node's base path is put before it. */
  readonly path: string;
  readonly body?: Buffer | readonly Buffer[];
  /** `content-type: application/json` is added to every body; these come on top. */
  readonly headers?: Readonly<Record<string, string>>;
  /** ms from now, waiting for a connection included. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export interface MutateRequest {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: Buffer | readonly Buffer[];
  /**
   * The last look before the request becomes complete: before the first byte of a small one, before the last chunk
   * of a large one. When it throws, the node cannot have acted, and the call rejects with `aborted`.
   */
  readonly beforeLast?: () => void;
}

type NodeRequest = ReadRequest | MutateRequest;

/** Takes a streamed answer. What it throws ends the call, as the cause of `unanswered`. */
export interface AnswerSink {
  /** Comes once, first. `flow` may be kept. */
  head(status: number, headers: NodeHeaders, flow: AnswerFlow): void;
  data(chunk: Buffer): void;
}

/** Backpressure for a streamed answer; a paused answer has no deadline. */
export interface AnswerFlow {
  pause(): void;
  resume(): void;
}

export interface NodeClient {
  readonly url: string;
  /** A call that changes nothing, its answer buffered up to a bound. Throws NodeError. */
  read(request: ReadRequest): Promise<NodeResponse>;
  /**
   * The same, its answer handed on piece by piece; resolves when all of it was. The deadline is for the head;
   * after it, for every next piece. Throws NodeError, also after the head.
   */
  stream(request: ReadRequest, sink: AnswerSink): Promise<void>;
  /** A call that changes something: no deadline while its connection lives. Throws NodeError; look at `sent`. */
  mutate(request: MutateRequest): Promise<NodeResponse>;
  connectionFacts(): ConnectionFacts;
  /** Takes no more calls, turns away those that wait, and lets those under way finish. */
  close(): Promise<void>;
  /** Ends all connections; calls under way reject as `unanswered`. */
  destroy(): Promise<void>;
}

export interface NodeClientOptions {
  /** http or https, with a base path if the node stands behind one. */
  readonly url: string;
  readonly clock: Clock;
  /** Opening a connection, marker check included. 5 s: the check is one read of a tiny sqlite row. */
  readonly connectTimeoutMs?: number;
  /** 16: a stock server answers no more queries a second with more of them (docs/chroma-behaviour.md#throughput). */
  readonly readConnections?: number;
  /** 8: a server applies writes one after another anyhow; more only helps shards' uploads to overlap. */
  readonly mutateConnections?: number;
  /** Calls of one kind that may wait for a connection; 1024, some seconds of work for a stock server. */
  readonly waitingMax?: number;
  /** The largest answer read() and mutate() buffer; 64 MiB, more than the largest request Chroma takes (40 MiB). */
  readonly answerBytesMax?: number;
  readonly ca?: string | Buffer;
  /** Told when a connection that was in use, or could be, has ended. */
  readonly onDisconnected?: () => void;
}

// Shorter than the idle limits of the usual proxies (60 s); long, for every new connection costs a marker check.
const IDLE_MS = 30_000;

/** A client whose connections are used only after the node's marker has proved to be the expected identity. */
export function createNodeClient(options: NodeClientOptions & { readonly expect: Expect }): NodeClient {
  return new PooledNodeClient(options, options.expect);
}

/** A client that checks nobody's identity: for a server that has not joined yet, nothing else. */
export function createUnverifiedNodeClient(options: NodeClientOptions): NodeClient {
  return new PooledNodeClient(options, null);
}

// Answers whose readers keep them waiting hold connections beside the others, up to this many; then the slowest goes.
const PAUSED_MAX = 32;

const nothing = (): void => {};

/** Whom the node must prove to be; null: nobody may answer. */
type Expect = () => Expected | null;

interface Connection {
  readonly http: Client;
  /** Whom the current or last socket belonged to. */
  identity: Identity | null;
}

class PooledNodeClient implements NodeClient {
  readonly url: string;
  readonly #basePath: string;
  readonly #clock: Clock;
  readonly #answerBytesMax: number;
  readonly #reads: Lane;
  readonly #mutations: Lane;
  readonly #attempts = new ConnectionAttempts();

  constructor(options: NodeClientOptions, expect: Expect | null) {
    const url = new URL(options.url);
    this.url = options.url;
    this.#basePath = url.pathname.replace(/\/+$/, '');
    this.#clock = options.clock;
    this.#answerBytesMax = options.answerBytesMax ?? 64 * 1024 * 1024;

    const connect = (): Connection => this.#connect(url.origin, options, expect);
    const current = ({ identity }: Connection): boolean => {
      const expected = expect?.() ?? null;
      return identity === null || (expected !== null && sameIdentity(expected, identity));
    };
    const waitingMax = options.waitingMax ?? 1024;
    this.#reads = new Lane({ size: options.readConnections ?? 16, waitingMax, connect, current });
    this.#mutations = new Lane({ size: options.mutateConnections ?? 8, waitingMax, connect, current });
  }

  read(request: ReadRequest): Promise<NodeResponse> {
    return this.#buffered(this.#reads, request, (call) => call.limit(request, false));
  }

  stream(request: ReadRequest, sink: AnswerSink): Promise<void> {
    return this.#call(this.#reads, request, sink, (call) => call.limit(request, true));
  }

  mutate(request: MutateRequest): Promise<NodeResponse> {
    return this.#buffered(this.#mutations, request, nothing);
  }

  connectionFacts(): ConnectionFacts {
    return this.#attempts.facts;
  }

  async close(): Promise<void> {
    await Promise.all([this.#reads.close(), this.#mutations.close()]);
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#reads.destroy(), this.#mutations.destroy()]);
  }

  async #buffered(lane: Lane, request: NodeRequest, limit: (call: Call) => void): Promise<NodeResponse> {
    const answer = new BufferedAnswer(this.#answerBytesMax);
    await this.#call(lane, request, answer, limit);
    return answer.response();
  }

  #call(lane: Lane, request: NodeRequest, sink: AnswerSink, limit: (call: Call) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error ? reject(error) : resolve());
      const call = new Call({ ...prepare(request, this.#basePath), sink, clock: this.#clock, done });
      limit(call);
      lane.take(call);
    });
  }

  #connect(origin: string, options: NodeClientOptions, expect: Expect | null): Connection {
    const attempts = {
      basePath: this.#basePath,
      connectTimeoutMs: options.connectTimeoutMs ?? 5000,
      clock: this.#clock,
      ca: options.ca,
      onAttempt: (outcome: AttemptOutcome) => {
        this.#attempts.note(outcome, this.#clock.monotonic());
        if (!(outcome instanceof NodeError)) connection.identity = outcome;
      },
    };
    const verified = expect === null ? null : createVerifiedConnector({ ...attempts, expect });
    const open = verified ?? createUnverifiedConnector(attempts);
    const connect: typeof open = (target, callback) =>
      open(target, (...outcome) => {
        outcome[1]?.once('close', () => options.onDisconnected?.());
        callback(...outcome);
      });
    const http = new Client(origin, {
      connect,
      pipelining: 1, // a second request on a connection would share its fate
      headersTimeout: 0, // deadlines are set per call, by the injected clock; mutations have none
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
    });
    const connection: Connection = { http, identity: null };
    return connection;
  }
}

interface LaneOptions {
  readonly size: number;
  readonly waitingMax: number;
  readonly connect: () => Connection;
  /** False once the node is expected to be another than this connection was checked for. */
  readonly current: (connection: Connection) => boolean;
}

/** The connections for one kind of call, and the calls that wait for one. Reads and mutations never share. */
class Lane {
  readonly #options: LaneOptions;
  readonly #all = new Set<Connection>();
  /** Used as a stack, so that what is not needed grows cold and closes. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<Call>();
  readonly #running = new Set<Call>();
  #closed = false;
  #whenEmpty = nothing;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  take(call: Call): void {
    if (call.settled) return;
    if (this.#closed) return call.fail(new NodeError('aborted', 'the client is closed'));
    const connection = this.#free();
    if (connection !== null) return this.#run(call, connection);
    if (this.#waiting.size >= this.#options.waitingMax) {
      return call.fail(new NodeError('busy', `${this.#waiting.size} calls wait for this node already`));
    }
    this.#waiting.add(call);
    call.leaveQueue = () => this.#waiting.delete(call);
  }

  async close(): Promise<void> {
    this.#turnAway();
    if (this.#idle.length < this.#all.size) {
      await new Promise<void>((resolve) => (this.#whenEmpty = resolve));
    }
    await this.destroy();
  }

  async destroy(): Promise<void> {
    this.#turnAway();
    await Promise.all(Array.from(this.#all, (connection) => connection.http.destroy()));
  }

  #turnAway(): void {
    this.#closed = true;
    for (const call of this.#waiting) call.fail(new NodeError('aborted', 'the client was closed'));
  }

  #free(): Connection | null {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (this.#options.current(idle)) return idle;
      this.#all.delete(idle);
      void idle.http.destroy();
    }
    const paused = [...this.#running].filter((call) => call.pausedMs !== null);
    if (this.#all.size - Math.min(paused.length, PAUSED_MAX) >= this.#options.size) {
      if (paused.length > PAUSED_MAX) queueMicrotask(() => cutSlowest(paused));
      return null;
    }
    const fresh = this.#options.connect();
    this.#all.add(fresh);
    return fresh;
  }

  #run(call: Call, connection: Connection): void {
    this.#running.add(call);
    call.onPaused = () => this.#next();
    call.start(connection.http, () => {
      this.#running.delete(call);
      this.#idle.push(connection);
      this.#next();
    });
  }

  #next(): void {
    if (this.#idle.length === this.#all.size) this.#whenEmpty();
    for (const call of this.#waiting) {
      const connection = this.#free();
      if (connection === null) return;
      this.#waiting.delete(call);
      this.#run(call, connection);
    }
  }
}

function cutSlowest(paused: Call[]): void {
  const [slowest] = paused.sort((a, b) => (a.pausedMs ?? 0) - (b.pausedMs ?? 0));
  slowest?.fail(new NodeError('aborted', 'its reader is too slow, and others wait', { sent: true }));
}

interface Task {
  readonly options: Dispatcher.DispatchOptions;
  /** Runs before the first byte. */
  readonly beforeFirst: () => void;
  readonly sink: AnswerSink;
  readonly clock: Clock;
  readonly done: (error: Error | null) => void;
}

/** One request on its way: undici's handler, the deadline, and who waits for the end. */
class Call implements Dispatcher.DispatchHandler {
  settled = false;
  leaveQueue = nothing;
  onPaused = nothing;
  /** Since when the reader of the answer keeps it waiting; clock.monotonic() ms, null while it does not. */
  pausedMs: number | null = null;
  readonly #task: Task;
  #controller: Dispatcher.DispatchController | null = null;
  #release: () => void = nothing;
  /** Gives the request to undici once more; for when no byte of it was sent. */
  #again: (() => void) | null = null;
  #cancelTimer = nothing;
  #cancelSignal = nothing;
  /** When the last piece came; null before the head. */
  #lastPieceMs: number | null = null;

  constructor(task: Task) {
    this.#task = task;
  }

  /** `perPiece`: once the head has come, the deadline starts anew with every piece of the answer. */
  limit({ deadlineMs, signal }: ReadRequest, perPiece: boolean): void {
    const watch = (ms: number): void => {
      this.#cancelTimer = this.#task.clock.after(ms, () => {
        const paused = this.#controller?.paused === true;
        const silentMs = paused ? 0 : this.#task.clock.monotonic() - (this.#lastPieceMs ?? -Infinity);
        if (perPiece && silentMs < deadlineMs) return watch(deadlineMs - silentMs);
        this.fail(this.#error('timeout', `no answer within ${deadlineMs} ms`));
      });
    };
    watch(deadlineMs);
    if (signal === undefined) return;
    const onAbort = (): void => this.fail(this.#error('aborted', 'the caller gave up'));
    this.#cancelSignal = () => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  }

  start(http: Client, release: () => void): void {
    this.leaveQueue = nothing;
    this.#release = release;
    this.#again = () => http.dispatch(this.#task.options, this);
    http.dispatch(this.#task.options, this);
  }

  /** Ends the call; a connection that carries it is ended with it, HTTP/1.1 knows no other way. */
  fail(error: Error): void {
    if (!this.#settle(error)) return;
    this.leaveQueue();
    this.#controller?.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Throwing here ends the request before its first byte and leaves the connection whole.
    if (this.settled) throw this.#error('aborted', 'given up before it was sent');
    this.#task.beforeFirst();
    this.#controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: NodeHeaders): void {
    if (status < 200) return;
    this.#lastPieceMs = this.#task.clock.monotonic();
    const pause = (): void => {
      controller.pause();
      this.pausedMs ??= this.#task.clock.monotonic();
      this.onPaused();
    };
    const resume = (): void => {
      this.pausedMs = null;
      this.#lastPieceMs = this.#task.clock.monotonic();
      controller.resume();
    };
    this.#task.sink.head(status, headers, { pause, resume });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // undici's parser hands on an empty piece whenever it is resumed before more has come.
    if (this.settled || chunk.length === 0) return;
    this.#lastPieceMs = this.#task.clock.monotonic();
    this.#task.sink.data(chunk);
  }

  onResponseEnd(): void {
    this.#end(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // Failures to connect are NodeErrors; any other before the first byte: an idle connection was found reset.
    const again = this.#again;
    if (again !== null && this.#controller === null && !this.settled && !(error instanceof NodeError)) {
      this.#again = null;
      return queueMicrotask(again);
    }
    const message = 'the connection ended without a whole answer';
    this.#end(error instanceof NodeError ? error : this.#error('unanswered', message, error));
  }

  #end(error: Error | null): void {
    this.#settle(error);
    const release = this.#release;
    this.#release = nothing;
    release();
  }

  #settle(error: Error | null): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.#cancelTimer();
    this.#cancelSignal();
    this.#task.done(error);
    return true;
  }

  #error(code: 'aborted' | 'timeout' | 'unanswered', message: string, cause?: Error): NodeError {
    return new NodeError(code, message, { sent: this.#controller !== null, cause });
  }
}

function prepare(request: NodeRequest, basePath: string): Pick<Task, 'options' | 'beforeFirst'> {
  const headers = 'headers' in request ? Object.entries(request.headers ?? {}).flat() : [];
  const path = basePath + request.path;
  const options: Dispatcher.DispatchOptions = { method: request.method, path, headers };
  const look = (sent: boolean): void => {
    try {
      if ('beforeLast' in request) request.beforeLast?.();
    } catch (cause) {
      throw new NodeError('aborted', 'given up before the request was complete', { sent, cause });
    }
  };
  if (request.body === undefined) return { options, beforeFirst: () => look(false) };

  headers.push('content-type', 'application/json');
  const parts = Buffer.isBuffer(request.body) ? [request.body] : request.body;
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  if (bytes <= PIECE_BYTES) {
    options.body = gather(parts);
    return { options, beforeFirst: () => look(false) };
  }
  // With a length given, undici writes an iterable without chunked encoding, and asks for the next piece only when
  // the last one has left the process, for a piece is larger than a socket's buffer limit.
  headers.push('content-length', String(bytes));
  const body: unknown = inPieces(parts, bytes, () => look(true));
  options.body = body as Buffer;
  return { options, beforeFirst: nothing };
}
