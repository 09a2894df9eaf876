// The table of Polychrome's own routes, and matching of paths against it.

import type { Handler, RequestHead, RouteMatch, Router } from '../../http/router.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import { healthOf, statusOf, walStatusOf, type StatusSource } from './status.ts';

export interface AdminRoute {
  readonly method: 'GET' | 'POST';
  /** Segments in braces are parameters; PARAMETERS says what each matches. */
  readonly path: string;
  readonly handle: Handler;
}

/** Decides who may use a route, before anything else about the request; null: the client may. */
export type AccessCheck = (head: RequestHead) => WholeResponse | null;

const allowAnyone: AccessCheck = () => null;

/** GET /health, /status and /wal/status, for load balancers and operators: open to every client. */
export function statusRoutes(source: StatusSource): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/health',
      handle: async () => {
        const { healthy, reason } = healthOf(source);
        return healthy
          ? jsonResponse({ status: 'ok' })
          : jsonResponse({ status: 'unavailable', reason }, 503);
      },
    },
    { method: 'GET', path: '/status', handle: async () => jsonResponse(statusOf(source)) },
    { method: 'GET', path: '/wal/status', handle: async () => jsonResponse(walStatusOf(source)) },
  ];
}

/** These routes read no body. */
export function adminRouter(routes: readonly AdminRoute[], checkAccess: AccessCheck = allowAnyone): Router {
  const table = routes.map((route) => ({ route, pattern: patternOf(route.path) }));
  const routesOf = (path: string): typeof table => table.filter(({ pattern }) => pattern.test(path));
  return {
    match(method, path) {
      const known = routesOf(path);
      if (known.length === 0) return 'not_found';
      const wanted = method === 'HEAD' ? 'GET' : method;
      const found = known.find(({ route }) => route.method === wanted);
      if (found === undefined) return 'method_not_allowed';
      const { route, pattern } = found;
      return {
        name: `${route.method} ${route.path}`,
        params: { ...pattern.exec(path)?.groups },
        readsBody: false,
        admit: checkAccess,
        trimBody: (body) => body,
        handle: route.handle,
      } satisfies RouteMatch;
    },
    allowedMethods: (path) =>
      routesOf(path)
        .map(({ route }) => (route.method === 'GET' ? 'GET,HEAD' : route.method))
        .join(','),
  };
}

/** The values that a parameter of a path may have. */
const PARAMETERS: Readonly<Record<string, string>> = {
  lsn: '[0-9]{1,15}',
  node: '[a-z0-9][a-z0-9-]{0,62}',
  operation: '[0-9a-f]{8}',
};

function patternOf(path: string): RegExp {
  const pattern = path.replace(/\{(\w+)\}/g, (_whole, name: string) => `(?<${name}>${PARAMETERS[name]})`);
  return new RegExp(`^${pattern}$`);
}
