// From a request on a connection to the handler of its route, and back: limits, routes, bodies, responses, errors.

import type { IncomingMessage } from 'node:http';
import { PolychromeError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { BodyError, BodyReader, type ReceivedBody } from './request-body.ts';
import { ByteBudget } from './byte-budget.ts';
import type { Turn } from './connections.ts';
import { createCors, type Cors } from './cors.ts';
import { ReceivedRequest } from './request.ts';
import { parseTarget, TARGET_LENGTH_MAX, type Target } from './request-target.ts';
import { sendStreamed } from './response.ts';
import type { ServedRequest } from './request-stats.ts';
import type { ResponseBudget } from './response-budget.ts';
import type { ErrorResponses, RouteMatch, Router } from './router.ts';

export interface PipelineOptions {
  readonly router: Router;
  readonly errors: ErrorResponses;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'error'>;
  /** Of one request body. */
  readonly maxBodyBytes: number;
  /** Of all request bodies that are held at one time. */
  readonly bodyBudgetBytes: number;
  readonly bodyTimeoutMs: number;
  readonly responseBudget: ResponseBudget;
  /** Counts the requests that are served. */
  readonly requests: { observe(request: ServedRequest): void };
  /** Empty: no cross-origin headers at all. */
  readonly corsAllowOrigins: readonly string[];
}

// Chroma's server accepts 100 (hyper) and responds 431 to more.
const HEADERS_MAX = 100;
const EMPTY = Buffer.alloc(0);

export class Pipeline {
  readonly budget: ByteBudget;
  readonly #options: PipelineOptions;
  readonly #cors: Cors;
  readonly #bodies: BodyReader;
  #isStopping = false;

  constructor(options: PipelineOptions) {
    const { clock, maxBodyBytes: maxBytes, bodyBudgetBytes: capacityBytes } = options;
    this.#options = options;
    this.#cors = createCors(options.corsAllowOrigins);
    this.budget = new ByteBudget({ capacityBytes, largestBytes: maxBytes, clock });
    this.#bodies = new BodyReader({
      budget: this.budget,
      clock,
      maxBytes,
      deadlineMs: options.bodyTimeoutMs,
    });
  }

  /** Refuses every request from now on; those being served are completed. */
  refuse(): void {
    this.#isStopping = true;
  }

  serve(turn: Turn): void {
    turn.errorHeaders = this.#options.errors.headers;
    try {
      const target = this.#accept(turn);
      const match = target === null ? null : this.#match(turn, target);
      if (target !== null && match !== null) void this.#serveAndCount(turn, match, target);
    } catch (error) {
      this.#fail(turn, error);
    }
  }

  /** Responds to a body that could not be parsed. */
  failBody(turn: Turn): void {
    this.#fail(turn, new BodyError('malformed'));
  }

  /** The target of the request; null when the response does not depend on a route and has been sent. */
  #accept(turn: Turn): Target | null {
    const { request } = turn;
    const { origin } = request.headers;
    if (this.#cors.enabled) turn.headers = this.#cors.headers(origin);
    if (this.#isStopping) {
      throw new PolychromeError('stopping', 'This server is stopping. Try another, or again later.');
    }
    const url = request.url ?? '';
    const target = parseTarget(url);
    if (url.length > TARGET_LENGTH_MAX) turn.abandon(414);
    else if (request.rawHeaders.length > 2 * HEADERS_MAX) turn.abandon(431);
    else if (target === null || !isAcceptable(request)) turn.abandon(400);
    else if (this.#cors.enabled && request.method === 'OPTIONS') {
      turn.headers = this.#cors.preflight(origin);
      const allow = this.#options.router.allowedMethods(target.path);
      // Chroma's router adds the header to a refusal; a path that has OPTIONS is not refused.
      const isAllowed = allow === '' || allow.includes('OPTIONS');
      turn.respond({ status: 200, ...(isAllowed ? {} : { headers: { allow } }) });
    } else return target;
    return null;
  }

  /** The route; null when there is none and the response has been sent. */
  #match(turn: Turn, target: Target): RouteMatch | null {
    const { router } = this.#options;
    const match = router.match(turn.request.method ?? '', target.path);
    if (match === 'not_found') turn.respond({ status: 404 });
    else if (match === 'method_not_allowed') {
      turn.respond({ status: 405, headers: { allow: router.allowedMethods(target.path) } });
    } else return match;
    return null;
  }

  async #serveAndCount(turn: Turn, match: RouteMatch, target: Target): Promise<void> {
    const { clock, requests } = this.#options;
    const since = clock.monotonic();
    const request = new ReceivedRequest(turn, match.params, target.query);
    await this.#serve(turn, match, request);
    const ms = clock.monotonic() - since;
    const { params, body } = request;
    requests.observe({ route: match.name, status: turn.sentStatus, ms, params, body });
  }

  async #serve(turn: Turn, match: RouteMatch, request: ReceivedRequest): Promise<void> {
    // From now on a malformed body has a response of its own.
    turn.readingBody = match.readsBody;
    let body: ReceivedBody | null = null;
    try {
      const refusal = match.admit(request);
      const refused = refusal instanceof Promise ? await refusal : refusal;
      if (refused !== null) return turn.respond(refused);
      if (match.readsBody) body = await this.#bodies.read(turn.request, () => turn.expectBody());
    } catch (error) {
      return this.#fail(turn, error);
    } finally {
      turn.readingBody = false;
    }
    await this.#handle(turn, match, request, body);
  }

  async #handle(
    turn: Turn,
    match: RouteMatch,
    request: ReceivedRequest,
    body: ReceivedBody | null,
  ): Promise<void> {
    const { response } = turn;
    try {
      if (body !== null) request.body = match.trimBody(body.bytes);
      const result = await match.handle(request);
      if (response.destroyed) return;
      if (typeof result === 'function') return await sendStreamed(response, result, turn.beginResponse());
      turn.respond(result);
      this.#options.responseBudget.sent(response, result.body ?? EMPTY);
    } catch (error) {
      if (response.headersSent)
        this.#options.logger.error({ err: error, route: match.name }, 'response aborted');
      else this.#fail(turn, error);
    } finally {
      body?.reservation.release();
    }
  }

  #fail(turn: Turn, error: unknown): void {
    const { errors, logger } = this.#options;
    const expected = errors.expected(error);
    // The cause stays in the log: it may name what is behind this server.
    if (expected === null && !(error instanceof BodyError))
      logger.error({ err: error, target: turn.request.url }, 'request failed');
    if (turn.response.destroyed) return;
    if (error instanceof BodyError && error.failure === 'client_gone') return;
    if (error instanceof BodyError && error.failure === 'too_slow') turn.abandon(408);
    else if (error instanceof BodyError && error.failure === 'malformed')
      turn.end(expected ?? errors.internal);
    else turn.respond(expected ?? errors.internal);
  }
}

// What Node's parser accepts and Chroma's does not: other versions, and bodies whose end is undefined.
function isAcceptable({ httpVersion, headers }: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return httpVersion === '1.1' || httpVersion === '1.0';
  return httpVersion === '1.1' && /(?:^|,)\s*chunked\s*$/i.test(coding);
}
