// A request that has passed the front door, as handlers see it.

import type { IncomingHttpHeaders } from 'node:http';
import type { Route, RouteMatch, RouteParams } from '../api/v2/routes.ts';
import type { HttpResponse } from './response.ts';
import type { Turn } from './connections.ts';

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
export type Handler = (request: ClientRequest) => Promise<HttpResponse>;

/** Makes what a handler may not ask for only when it does. */
export class AdmittedRequest implements ClientRequest {
  readonly route: Route;
  readonly params: RouteParams;
  readonly body: Buffer;
  readonly #turn: Turn;
  readonly #search: string;
  #query: URLSearchParams | null = null;

  constructor(match: RouteMatch, search: string, turn: Turn, body: Buffer) {
    this.route = match.route;
    this.params = match.params;
    this.body = body;
    this.#turn = turn;
    this.#search = search;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.#search));
  }

  get headers(): IncomingHttpHeaders {
    return this.#turn.request.headers;
  }

  get signal(): AbortSignal {
    return this.#turn.signal;
  }
}
