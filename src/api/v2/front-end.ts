// Chroma's API as an HTTP server serves it: routes, authorization, content types, and the handlers behind them.

import { withoutTrailingBytes } from '../../chroma/parse/rewrite.ts';
import { isJsonType } from '../../chroma/protocol/content-type.ts';
import type { WholeResponse } from '../../http/response.ts';
import type { ClientRequest, Handler, RequestHead, Router, RouteMatch } from '../../http/router.ts';
import { fallbackHandler, UNSUPPORTED_TYPE } from './fixed-responses.ts';
import { allowedMethods, matchRoute, type Route, type RouteCapabilities, type RouteName } from './routes.ts';

export interface Authorizer {
  /**
   * Throws or rejects with a PolychromeError when the client may not use the route. Called once per request, before its
   * body is read (I15).
   */
  authorize(request: RequestHead, route: Route): Promise<void> | void;
}

export interface ChromaRouterOptions {
  readonly handlers: Readonly<Partial<Record<RouteName, Handler>>>;
  /** Of the cluster at this moment: decides which routes there are. */
  readonly capabilities: () => RouteCapabilities;
  readonly authorizer: Authorizer;
}

export function chromaRouter({ handlers, capabilities, authorizer }: ChromaRouterOptions): Router {
  return {
    match(method, path) {
      const match = matchRoute(method, path, capabilities());
      if (typeof match === 'string') return match;
      const { route, params } = match;
      const handler = handlers[route.name] ?? fallbackHandler(route.name);
      // Before 1.3 a server stops reading where the JSON of a schema call ends, and ignores what follows.
      const ignoresRest = route.kind === 'schema' && !capabilities().schema;
      return {
        name: route.name,
        params,
        readsBody: route.jsonBody,
        admit: (head: RequestHead) => admit(authorizer, head, route),
        trimBody: (body: Buffer) => (ignoresRest ? withoutTrailingBytes(body) : body),
        handle: (request: ClientRequest) => handler(request),
      } satisfies RouteMatch;
    },
    allowedMethods: (path) => allowedMethods(path, capabilities()),
  };
}

function admit(
  authorizer: Authorizer,
  head: RequestHead,
  route: Route,
): Promise<WholeResponse | null> | WholeResponse | null {
  const refusal = route.jsonBody && !isJsonType(head.headers['content-type']) ? UNSUPPORTED_TYPE : null;
  const authorized = authorizer.authorize(head, route);
  return authorized instanceof Promise ? authorized.then(() => refusal) : refusal;
}
