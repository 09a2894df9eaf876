// The front door: HTTP as Chroma's server speaks it, up to the handlers. Requests of one connection are served one
// after the other, as Chroma does: a client that pipelines a write and a read must read what it wrote.

import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Server as NetServer } from 'node:net';
import { isJsonType } from '../chroma/content-type.ts';
import {
  allowedMethods,
  matchRoute,
  type Route,
  type RouteCapabilities,
  type RouteMatch,
  type RouteName,
  type RouteParams,
} from '../chroma/routes.ts';
import { PolychromeError, StartupError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { answerFor, errorAnswer, sendStreamed, type Answer, type WholeAnswer } from './answer.ts';
import { BodyError, BodyReader, type ReceivedBody } from './body.ts';
import { ByteBudget } from './byte-budget.ts';
import { Connections, type Turn } from './connections.ts';
import { createCors, type Cors } from './cors.ts';
import { parseTarget, TARGET_LENGTH_MAX, type Target } from './target.ts';

export type { Answer, AnswerStream } from './answer.ts';

/** A request that has passed the front door. */
export interface ClientRequest {
  readonly route: Route;
  readonly params: RouteParams;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Empty where Chroma reads none. */
  readonly body: Buffer;
  /** Aborts when the client goes away before it is answered, or the server's stop runs out of time. */
  readonly signal: AbortSignal;
}

/** Answers a request; PolychromeErrors it throws become answers, anything else a neutral 500. */
export type Handler = (request: ClientRequest) => Promise<Answer>;

export interface ServerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly handlers: Readonly<Partial<Record<RouteName, Handler>>>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn' | 'error'>;
  /** Chroma's limit is 40 MiB. */
  readonly maxBodyBytes: number;
  /** For all request bodies in hand together. */
  readonly bodyBudgetBytes: number;
  /** Empty: no cross-origin headers at all, as Chroma's default. */
  readonly corsAllowOrigins: readonly string[];
  /** What the cluster can do now: decides which routes there are. */
  readonly capabilities: () => RouteCapabilities;
  readonly limits?: Partial<ServerLimits>;
}

/** Bounds with a default that need no setting. */
export interface ServerLimits {
  readonly connectionsMax: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

const DEFAULT_LIMITS: ServerLimits = {
  // An idle connection costs some 20 KiB; clients keep ten to a hundred each (httpx, undici).
  connectionsMax: 4096,
  // A head is a few hundred bytes: whoever needs longer than this is not trying.
  headersTimeoutMs: 15_000,
  // 40 MiB over a link of 1.2 Mbit/s.
  bodyTimeoutMs: 300_000,
  // Chroma keeps idle connections for ever. Longer than load balancers (60 s) and clients (5 s) keep theirs, so that
  // it is never we who close a connection just as a request comes.
  idleTimeoutMs: 75_000,
  // A client that has not read a byte of its answer for this long holds memory for nothing.
  stallTimeoutMs: 120_000,
};

// Chroma takes 100 headers, of 400 KiB together. A head is held per connection, so less here: the longest target
// twice over.
const HEADERS_MAX = 100;
const HEAD_BYTES_MAX = 128 * 1024;
const HEADERS_CHECK_MS = 1_000;

export interface FrontDoor {
  readonly url: string;
  readonly port: number;
  /** For status: how full it is. */
  readonly load: () => ServerLoad;
  /** Answers what is in hand, refuses the rest, closes; at the deadline whatever still runs is cut off. */
  stop(deadlineMs: number): Promise<void>;
}

export interface ServerLoad {
  readonly connections: number;
  readonly requests: number;
  readonly bodyBytes: number;
  readonly bodiesWaiting: number;
}

/** Listens; rejects with StartupError when the port is taken. */
export async function startServer(options: ServerOptions): Promise<FrontDoor> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const server = createServer({
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: HEADERS_CHECK_MS,
    requestTimeout: 0, // the body reader has bounds of its own, which do not count the wait for the budget
    keepAliveTimeout: limits.idleTimeoutMs,
    requireHostHeader: false, // Chroma does not ask for one
    noDelay: true,
  });
  server.timeout = limits.stallTimeoutMs;
  server.maxHeadersCount = 0; // Node would drop what exceeds it in silence; counted below instead
  server.maxConnections = limits.connectionsMax;
  const door = new Door(server, options, limits);
  await listen(server, options);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    port,
    load: () => door.load(),
    stop: (deadlineMs) => door.stop(deadlineMs),
  };
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(explain(error, host, port));
    server.once('error', onError);
    server.listen({ host, port, backlog: 511 }, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE') {
    return new StartupError(
      `Port ${port} on ${host} is in use by another program. Stop it, or choose another port.`,
    );
  }
  if (error.code === 'EACCES') {
    return new StartupError(`Port ${port} on ${host} may not be used by this user. Choose one above 1023.`);
  }
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return new StartupError(
      `${host} is not an address of this machine, so port ${port} there cannot be used.`,
    );
  }
  return error;
}

class Door {
  readonly #server: Server;
  readonly #options: ServerOptions;
  readonly #cors: Cors;
  readonly #budget: ByteBudget;
  readonly #bodies: BodyReader;
  readonly #connections: Connections;
  readonly #aborts = new Set<AbortController>();
  #stopping = false;

  constructor(server: Server, options: ServerOptions, limits: ServerLimits) {
    const { clock, maxBodyBytes } = options;
    this.#server = server;
    this.#options = options;
    this.#cors = createCors(options.corsAllowOrigins);
    this.#budget = new ByteBudget({
      capacityBytes: options.bodyBudgetBytes,
      largestBytes: maxBodyBytes,
      clock,
    });
    this.#bodies = new BodyReader({
      budget: this.#budget,
      clock,
      maxBytes: maxBodyBytes,
      deadlineMs: limits.bodyTimeoutMs,
    });
    this.#connections = new Connections({ clock, serve: (turn) => this.#serve(turn) });
    this.#connections.attachTo(server);
  }

  load(): ServerLoad {
    return {
      connections: this.#connections.open,
      requests: this.#connections.busy,
      bodyBytes: this.#budget.usedBytes,
      bodiesWaiting: this.#budget.waiting,
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopping) return this.#connections.untilIdle();
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => {
      // http.Server's own close() would cut idle connections at once, on which a request may be under way.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    const cancel = this.#options.clock.after(deadlineMs, () => {
      for (const abort of this.#aborts) abort.abort();
      this.#server.closeAllConnections();
    });
    await this.#connections.untilIdle();
    this.#server.close(() => undefined); // ends its timer and the idle connections
    this.#server.closeAllConnections();
    await closed;
    cancel();
  }

  #serve(turn: Turn): void {
    const { request, response } = turn;
    const origin = request.headers.origin;
    turn.headers = this.#cors.enabled ? this.#cors.headers(origin) : [];
    if (this.#stopping) {
      turn.last = true;
      return this.#refuse(
        turn,
        new PolychromeError('stopping', 'This server is stopping. Try another, or again later.'),
      );
    }
    const url = request.url ?? '';
    if (request.rawHeaders.length > 2 * HEADERS_MAX) return turn.abandon(431);
    if (url.length > TARGET_LENGTH_MAX) return turn.abandon(414);
    const target = parseTarget(url);
    if (target === null) return turn.abandon(400);
    if (this.#cors.enabled && request.method === 'OPTIONS') {
      turn.headers = this.#cors.preflight(origin);
      const allow = allowedMethods(target.path, this.#options.capabilities());
      return turn.answer({ status: 200, ...(allow === '' ? {} : { headers: { allow } }) });
    }
    const match = this.#match(request, target, turn);
    if (match === null) return;
    if (match.route.jsonBody) return void this.#withBody(turn, match, target);
    void this.#handle(turn, match, target, null, response);
  }

  /** The route, or null when the answer is given. */
  #match(request: IncomingMessage, target: Target, turn: Turn): RouteMatch | null {
    const capabilities = this.#options.capabilities();
    try {
      const match = matchRoute(request.method ?? '', target.path, capabilities);
      if (match === 'not_found') turn.answer({ status: 404 });
      else if (match === 'method_not_allowed') {
        turn.answer({ status: 405, headers: { allow: allowedMethods(target.path, capabilities) } });
      } else return match;
    } catch (error) {
      this.#refuse(turn, error);
    }
    return null;
  }

  async #withBody(turn: Turn, match: RouteMatch, target: Target): Promise<void> {
    const { request } = turn;
    if (!isJsonType(request.headers['content-type'])) {
      return turn.answer(UNSUPPORTED_TYPE);
    }
    let body: ReceivedBody;
    try {
      turn.readingBody = true;
      body = await this.#bodies.read(request, () => turn.expectBody());
    } catch (error) {
      return this.#refuse(turn, error);
    } finally {
      turn.readingBody = false;
    }
    await this.#handle(turn, match, target, body, turn.response);
  }

  async #handle(
    turn: Turn,
    match: RouteMatch,
    target: Target,
    body: ReceivedBody | null,
    response: ServerResponse,
  ): Promise<void> {
    const handler =
      this.#options.handlers[match.route.name] ?? DEFAULT_HANDLERS[match.route.name] ?? notSupported;
    const request = new AdmittedRequest(match, target, turn, body?.bytes ?? EMPTY, this.#aborts);
    try {
      const answer = await handler(request);
      if (response.destroyed) return;
      if (typeof answer !== 'function') return turn.answer(answer);
      await sendStreamed(response, answer, turn.beginAnswer());
    } catch (error) {
      if (!response.headersSent) this.#refuse(turn, error);
      else this.#log(error, 'a streamed answer was torn off', match.route);
    } finally {
      request.close();
      body?.lease.release();
    }
  }

  #refuse(turn: Turn, error: unknown): void {
    if (turn.response.destroyed) return;
    if (error instanceof BodyError) {
      if (error.failure === 'too_large') return turn.answer(TOO_LARGE);
      if (error.failure === 'too_slow') return turn.abandon(408);
      return;
    }
    const answer = answerFor(error);
    if (answer === null) this.#log(error, 'a request failed', null);
    turn.answer(answer ?? INTERNAL);
  }

  #log(error: unknown, message: string, route: Route | null): void {
    this.#options.logger.error({ error, route: route?.name }, message);
  }
}

/** What a handler sees; what it may not ask for is made when it does. */
class AdmittedRequest implements ClientRequest {
  readonly route: Route;
  readonly params: RouteParams;
  readonly body: Buffer;
  readonly #turn: Turn;
  readonly #search: string;
  readonly #aborts: Set<AbortController>;
  #query: URLSearchParams | null = null;
  #abort: AbortController | null = null;

  constructor(match: RouteMatch, target: Target, turn: Turn, body: Buffer, aborts: Set<AbortController>) {
    this.route = match.route;
    this.params = match.params;
    this.body = body;
    this.#turn = turn;
    this.#search = target.query;
    this.#aborts = aborts;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.#search));
  }

  get headers(): IncomingHttpHeaders {
    return this.#turn.request.headers;
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      const abort = new AbortController();
      const { response } = this.#turn;
      const onClose = (): void => {
        if (!response.writableFinished) abort.abort();
      };
      if (response.destroyed) onClose();
      else response.once('close', onClose);
      this.#abort = abort;
      this.#aborts.add(abort);
    }
    return this.#abort.signal;
  }

  close(): void {
    if (this.#abort !== null) this.#aborts.delete(this.#abort);
  }
}

const EMPTY = Buffer.alloc(0);

// Answers that need no handler: what Chroma's server says on its own.
const UNSUPPORTED_TYPE = errorAnswer(
  415,
  'ChromaError',
  'Expected request with `Content-Type: application/json`',
);
const TOO_LARGE = errorAnswer(413, 'ChromaError', 'Failed to buffer the request body: length limit exceeded');
const INTERNAL = errorAnswer(
  500,
  'InternalError',
  'An internal error occurred. The log of this server says more.',
);
const V1_GONE = errorAnswer(410, 'Unimplemented', 'The v1 API is deprecated. Please use /v2 apis');

const DEFAULT_HANDLERS: Readonly<Partial<Record<RouteName, Handler>>> = {
  v1: () => Promise.resolve(V1_GONE),
};

function notSupported(): Promise<WholeAnswer> {
  return Promise.reject(new PolychromeError('unsupported', 'This operation is not supported here.'));
}
