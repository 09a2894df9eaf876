// The request of a turn, as routers and handlers see it.

import type { IncomingHttpHeaders } from 'node:http';
import type { Turn } from './connections.ts';
import type { ClientRequest, RouteParams } from './router.ts';

const EMPTY = Buffer.alloc(0);

/** Computes what few handlers use only when they do. */
export class ReceivedRequest implements ClientRequest {
  readonly params: RouteParams;
  /** Set once it has been read. */
  body: Buffer = EMPTY;
  readonly #turn: Turn;
  readonly #search: string;
  #query: URLSearchParams | null = null;

  constructor(turn: Turn, params: RouteParams, search: string) {
    this.params = params;
    this.#turn = turn;
    this.#search = search;
  }

  get method(): string {
    return this.#turn.request.method ?? '';
  }

  get headers(): IncomingHttpHeaders {
    return this.#turn.request.headers;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.#search));
  }

  get remoteAddress(): string | null {
    return this.#turn.request.socket.remoteAddress ?? null;
  }

  get signal(): AbortSignal {
    return this.#turn.signal;
  }
}
