// The interface between a server and the application behind it: routes, handlers, and the form of errors.

import type { IncomingHttpHeaders } from 'node:http';
import type { HttpResponse, WholeResponse } from './response.ts';

/** Decoded segments of the path by their names in the route. */
export type RouteParams = Readonly<Record<string, string>>;

/** A request before its body is read. */
export interface RequestHead {
  readonly method: string;
  readonly params: RouteParams;
  readonly headers: IncomingHttpHeaders;
  readonly query: URLSearchParams;
  /** IP address of the other end of the connection; null when that has ended. */
  readonly remoteAddress: string | null;
}

/** A request as handlers see it. */
export interface ClientRequest extends RequestHead {
  /** Empty where the route reads none. */
  readonly body: Buffer;
  /** Aborts when the client disconnects before it has the response, or the server's stop exceeds its deadline. */
  readonly signal: AbortSignal;
}

/** Responds to a request; what it throws becomes a response by way of ErrorResponses. */
export type Handler = (request: ClientRequest) => Promise<HttpResponse>;

/** The route of a request. */
export interface RouteMatch {
  /** For log lines. */
  readonly name: string;
  readonly params: RouteParams;
  readonly readsBody: boolean;
  /**
   * Decides from the head whether the request is served, before its body is read; a response refuses it, as does an
   * error.
   */
  admit(head: RequestHead): Promise<WholeResponse | null> | WholeResponse | null;
  /** The part of a received body that the handler gets. */
  trimBody(received: Buffer): Buffer;
  readonly handle: Handler;
}

/** The routes of one application. */
export interface Router {
  /** The route of a request line; `path` is without its query string. */
  match(method: string, path: string): RouteMatch | 'not_found' | 'method_not_allowed';
  /** Value of the Allow header for a path; '' for an unknown path. */
  allowedMethods(path: string): string;
}

export interface ErrorResponses {
  /** The response to what a handler or the server threw; null: an internal error, which is logged. */
  expected(error: unknown): WholeResponse | null;
  readonly internal: WholeResponse;
  /** Headers of every response of status 400 and above to a well-formed request, as a flat list. */
  readonly headers: readonly string[];
}

/** The routes of several applications on one listener; a path belongs to the first that has it. */
export function joinRouters(...routers: readonly Router[]): Router {
  return {
    match(method, path) {
      for (const router of routers) {
        const match = router.match(method, path);
        if (match !== 'not_found') return match;
      }
      return 'not_found';
    },
    allowedMethods: (path) =>
      routers.map((router) => router.allowedMethods(path)).find((methods) => methods !== '') ?? '',
  };
}
