// From a request on a connection to the handler of its route, and back: everything Chroma's server decides before and
// after its own handlers.

import { Server as NetServer } from 'node:net';
import type { IncomingMessage, Server } from 'node:http';
import { isJsonType } from '../../chroma/protocol/content-type.ts';
import {
  allowedMethods,
  matchRoute,
  type RouteCapabilities,
  type RouteMatch,
  type RouteName,
} from './routes.ts';
import { withoutRest } from '../../chroma/parse/rewrite.ts';
import type { Clock } from '../../util/clock.ts';
import type { Logger } from '../../util/logger.ts';
import { sendStreamed } from '../../http/response.ts';
import type { ResponseBudget } from '../../http/response-budget.ts';
import { BodyReader, type ReceivedBody } from '../../http/request-body.ts';
import { ByteBudget } from '../../http/byte-budget.ts';
import { AdmittedRequest, type Handler } from '../../http/request.ts';
import { Connections, type Turn } from '../../http/connections.ts';
import { createCors, type Cors } from '../../http/cors.ts';
import { failureOf, fallbackHandler, STOPPING, UNSUPPORTED_TYPE } from './fixed-responses.ts';
import { parseTarget, TARGET_LENGTH_MAX, type Target } from '../../http/request-target.ts';

export interface DoorOptions {
  readonly handlers: Readonly<Partial<Record<RouteName, Handler>>>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  /** Chroma's limit is 40 MiB. */
  readonly maxBodyBytes: number;
  /** For all request bodies in hand together. */
  readonly bodyBudgetBytes: number;
  readonly bodyTimeoutMs: number;
  readonly responseBudget: ResponseBudget;
  /** Empty: no cross-origin headers at all, as Chroma's default. */
  readonly corsAllowOrigins: readonly string[];
  /** What the cluster can do now: decides which routes there are. */
  readonly capabilities: () => RouteCapabilities;
}

/** How full the front door is. */
export interface ServerLoad {
  readonly connections: number;
  /** Connections refused since the start because there were too many. */
  readonly connectionsRefused: number;
  readonly requests: number;
  readonly bodyBytes: number;
  readonly bodiesWaiting: number;
  /** Of answers not whole yet, or not taken by their readers. */
  readonly responseBudget: number;
  /** Readers cut off since the start because their answers left no room for others. */
  readonly readersCut: number;
}

// Chroma's server takes 100 (hyper) and answers 431 to more.
const HEADERS_MAX = 100;
const EMPTY = Buffer.alloc(0);

export class Door {
  readonly #server: Server;
  readonly #options: DoorOptions;
  readonly #cors: Cors;
  readonly #budget: ByteBudget;
  readonly #bodies: BodyReader;
  readonly #connections: Connections;
  #stopped: Promise<void> | null = null;

  constructor(server: Server, options: DoorOptions) {
    const { clock, maxBodyBytes: maxBytes, bodyBudgetBytes: capacityBytes } = options;
    this.#server = server;
    this.#options = options;
    this.#cors = createCors(options.corsAllowOrigins);
    const budget = new ByteBudget({ capacityBytes, largestBytes: maxBytes, clock });
    this.#budget = budget;
    this.#bodies = new BodyReader({ budget, clock, maxBytes, deadlineMs: options.bodyTimeoutMs });
    this.#connections = new Connections({ clock, serve: (turn) => this.#serve(turn) });
    this.#connections.attachTo(server);
  }

  load(): ServerLoad {
    return {
      connections: this.#connections.open,
      connectionsRefused: this.#connections.refused,
      requests: this.#connections.busy,
      bodyBytes: this.#budget.usedBytes,
      bodiesWaiting: this.#budget.waiting,
      responseBudget: this.#options.responseBudget.bytes,
      readersCut: this.#options.responseBudget.cut,
    };
  }

  /** Answers what is in hand, refuses the rest, closes; at the deadline whatever still runs is cut off. */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#connections.close();
    const closed = new Promise<void>((resolve) => {
      // http.Server's own close() would cut idle connections at once, on which a request may be under way.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    const cancel = this.#options.clock.after(deadlineMs, () => this.#server.closeAllConnections());
    await this.#connections.untilIdle();
    cancel();
    this.#server.close(() => undefined); // ends Node's timer for slow heads
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(turn: Turn): void {
    try {
      const target = this.#admit(turn);
      const match = target === null ? null : this.#match(turn, target);
      if (target === null || match === null) return;
      if (match.route.jsonBody) void this.#withBody(turn, match, target);
      else void this.#handle(turn, match, target, null);
    } catch (error) {
      this.#fail(turn, error);
    }
  }

  /** What is asked for, or null when that needs no route to be answered. */
  #admit(turn: Turn): Target | null {
    const { request } = turn;
    const { origin } = request.headers;
    if (this.#cors.enabled) turn.headers = this.#cors.headers(origin);
    if (this.#stopped !== null) throw STOPPING;

    const url = request.url ?? '';
    const target = parseTarget(url);
    if (url.length > TARGET_LENGTH_MAX) turn.abandon(414);
    else if (request.rawHeaders.length > 2 * HEADERS_MAX) turn.abandon(431);
    else if (target === null || !isSound(request)) turn.abandon(400);
    else if (this.#cors.enabled && request.method === 'OPTIONS') {
      turn.headers = this.#cors.preflight(origin);
      const allow = allowedMethods(target.path, this.#options.capabilities());
      // Chroma's router adds the header to a refusal; a path that does know OPTIONS (v1) is not refused.
      const silent = allow === '' || allow.includes('OPTIONS');
      turn.answer({ status: 200, ...(silent ? {} : { headers: { allow } }) });
    } else return target;
    return null;
  }

  /** The route, or null when there is none and that is answered. */
  #match(turn: Turn, target: Target): RouteMatch | null {
    const capabilities = this.#options.capabilities();
    const match = matchRoute(turn.request.method ?? '', target.path, capabilities);
    if (match === 'not_found') turn.answer({ status: 404 });
    else if (match === 'method_not_allowed') {
      turn.answer({ status: 405, headers: { allow: allowedMethods(target.path, capabilities) } });
    } else return match;
    return null;
  }

  async #withBody(turn: Turn, match: RouteMatch, target: Target): Promise<void> {
    const { request } = turn;
    if (!isJsonType(request.headers['content-type'])) return turn.answer(UNSUPPORTED_TYPE);
    let body: ReceivedBody;
    try {
      turn.readingBody = true;
      body = await this.#bodies.read(request, () => turn.expectBody());
    } catch (error) {
      return this.#fail(turn, error);
    } finally {
      turn.readingBody = false;
    }
    await this.#handle(turn, match, target, body);
  }

  async #handle(turn: Turn, match: RouteMatch, target: Target, body: ReceivedBody | null): Promise<void> {
    const { name } = match.route;
    const { response } = turn;
    try {
      const handler = this.#options.handlers[name] ?? fallbackHandler(name);
      const answer = await handler(new AdmittedRequest(match, target.query, turn, this.#bytes(match, body)));
      if (response.destroyed) return;
      if (typeof answer === 'function') return await sendStreamed(response, answer, turn.beginAnswer());
      turn.answer(answer);
      this.#options.responseBudget.sent(response, answer.body ?? EMPTY);
    } catch (error) {
      if (response.headersSent)
        this.#options.logger.error({ err: error, route: name }, 'an answer was torn off');
      else this.#fail(turn, error);
    } finally {
      body?.lease.release();
    }
  }

  // Before 1.3 a server stops reading where the JSON ends, and ignores what follows; the scanner does so for records.
  #bytes({ route }: RouteMatch, body: ReceivedBody | null): Buffer {
    if (body === null) return EMPTY;
    const ignoresRest = route.kind === 'schema' && !this.#options.capabilities().schema;
    return ignoresRest ? withoutRest(body.bytes) : body.bytes;
  }

  #fail(turn: Turn, error: unknown): void {
    const { answer, ours } = failureOf(error);
    // Nothing of it reaches the client: it may name what is behind us.
    if (ours) this.#options.logger.error({ err: error, target: turn.request.url }, 'a request failed');
    if (turn.response.destroyed || answer === 'none') return;
    if (answer === 'timeout') turn.abandon(408);
    else turn.answer(answer);
  }
}

// What Node's parser lets through and Chroma's does not: other versions, and bodies whose end cannot be told.
function isSound({ httpVersion, headers }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return httpVersion === '1.1' || httpVersion === '1.0';
  return httpVersion === '1.1' && /(?:^|,)\s*chunked\s*$/i.test(coding);
}
