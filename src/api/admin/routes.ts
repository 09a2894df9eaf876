// The table of Polychrome's own routes, and matching of paths against it.

import type { Handler, RequestHead, RouteMatch, Router } from '../../http/router.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import { dashboardFieldsOf } from './dashboards.ts';
import { deepHealthOf, readinessOf } from './health.ts';
import { statusOf, walStatusOf } from './status.ts';
import type { StatusSource } from './status-source.ts';
import { walStatsOf } from './wal-stats.ts';

export interface AdminRoute {
  readonly method: 'GET' | 'POST';
  /** Segments in braces are parameters; PARAMETERS says what each matches. */
  readonly path: string;
  readonly readsBody?: boolean;
  readonly handle: Handler;
}

/** Decides who may use a route, before anything else about the request; null: the client may. */
export type AccessCheck = (head: RequestHead) => WholeResponse | null;

const allowAnyone: AccessCheck = () => null;

/** GET /health…, /status and /wal/…, for load balancers, dashboards and operators: open to every client. */
export function statusRoutes(source: StatusSource): readonly AdminRoute[] {
  const get = (path: string, respond: () => Promise<WholeResponse> | WholeResponse): AdminRoute => {
    return { method: 'GET', path, handle: async () => respond() };
  };
  const ready = (): WholeResponse => {
    const readiness = readinessOf(source);
    return jsonResponse(readiness, readiness.ready ? 200 : 503);
  };
  return [
    // Touches nothing: whether the process serves requests at all.
    get('/health/live', () => jsonResponse({ status: 'alive' })),
    get('/ready', ready),
    get('/health/ready', ready),
    get('/health/check', async () => {
      const deep = deepHealthOf(source, await source.disk().catch(() => null));
      return jsonResponse(deep, deep.status === 'unhealthy' ? 503 : 200);
    }),
    get('/health', () => summaryOf(source)),
    get('/status', () => jsonResponse(statusOf(source))),
    get('/wal/status', () => jsonResponse(walStatusOf(source))),
    get('/wal/stats', async () => jsonResponse(await walStatsOf(source))),
  ];
}

function summaryOf(source: StatusSource): WholeResponse {
  const { ready, reason, components } = readinessOf(source);
  const { healthy_instances, total_instances } = dashboardFieldsOf(source);
  const counts = { healthy_instances, total_instances };
  if (!ready) return jsonResponse({ status: 'unavailable', reason, ...counts }, 503);
  const flawed = Object.values(components).find(({ state }) => state !== 'healthy');
  return flawed === undefined
    ? jsonResponse({ status: 'ok', ...counts })
    : jsonResponse({ status: 'degraded', reason: flawed.reason, ...counts });
}

/** The routes as one router; the access check decides about all of them. */
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
        readsBody: route.readsBody === true,
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
  collection: '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}',
  asset: '\\w[\\w.-]{0,99}',
};

function patternOf(path: string): RegExp {
  const pattern = path.replace(/\{(\w+)\}/g, (_whole, name: string) => `(?<${name}>${PARAMETERS[name]})`);
  return new RegExp(`^${pattern}$`);
}
