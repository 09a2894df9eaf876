// The table of the v1 API's routes (chroma-core/chroma, tag 0.5.15, chromadb/server/fastapi/__init__.py), each with the v2
// route that serves it.

import type { RouteParams } from '../../http/router.ts';
import { decodePercent, type RouteName } from '../v2/routes.ts';

export interface OlderRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below /api/v1; `{name}` is a parameter. */
  readonly path: string;
  readonly serves: RouteName;
}

const COLLECTION = 'collections/{collection}';

const ROUTES: readonly OlderRoute[] = [
  { method: 'GET', path: '', serves: 'heartbeat' },
  { method: 'GET', path: 'heartbeat', serves: 'heartbeat' },
  { method: 'GET', path: 'version', serves: 'version' },
  { method: 'GET', path: 'pre-flight-checks', serves: 'preflight' },
  { method: 'POST', path: 'reset', serves: 'reset' },
  { method: 'POST', path: 'tenants', serves: 'create_tenant' },
  { method: 'GET', path: 'tenants/{tenant}', serves: 'get_tenant' },
  { method: 'POST', path: 'databases', serves: 'create_database' },
  { method: 'GET', path: 'databases/{database}', serves: 'get_database' },
  { method: 'GET', path: 'collections', serves: 'list_collections' },
  { method: 'POST', path: 'collections', serves: 'create_collection' },
  { method: 'GET', path: 'count_collections', serves: 'count_collections' },
  { method: 'GET', path: COLLECTION, serves: 'get_collection' },
  { method: 'PUT', path: COLLECTION, serves: 'modify_collection' },
  { method: 'DELETE', path: COLLECTION, serves: 'delete_collection' },
  { method: 'POST', path: `${COLLECTION}/add`, serves: 'add' },
  { method: 'POST', path: `${COLLECTION}/update`, serves: 'update' },
  { method: 'POST', path: `${COLLECTION}/upsert`, serves: 'upsert' },
  { method: 'POST', path: `${COLLECTION}/delete`, serves: 'delete' },
  { method: 'POST', path: `${COLLECTION}/get`, serves: 'get' },
  // Not in Chroma: guides read a collection so, with curl.
  { method: 'GET', path: `${COLLECTION}/get`, serves: 'get' },
  { method: 'POST', path: `${COLLECTION}/query`, serves: 'query' },
  { method: 'GET', path: `${COLLECTION}/count`, serves: 'count' },
];

const ROOT = '/api/v1';

/** The route of a request line, 'not_found' for a path that the v1 API does not have. */
export function matchOlderRoute(
  method: string,
  path: string,
): { readonly route: OlderRoute; readonly params: RouteParams } | 'not_found' | 'method_not_allowed' {
  const found = routesOf(path);
  const match = found.find(({ route }) => route.method === method);
  if (match !== undefined) return match;
  return found.length === 0 ? 'not_found' : 'method_not_allowed';
}

/** Value of the Allow header for a path; '' for an unknown path. */
export function allowedOlderMethods(path: string): string {
  return routesOf(path)
    .map(({ route }) => route.method)
    .join(',');
}

function routesOf(path: string): { readonly route: OlderRoute; readonly params: RouteParams }[] {
  if (path !== ROOT && !path.startsWith(`${ROOT}/`)) return [];
  // FastAPI served each route with a slash at the end as well.
  const segments = path
    .slice(ROOT.length + 1)
    .replace(/\/$/, '')
    .split('/');
  return ROUTES.flatMap((route) => {
    const params = paramsOf(route.path.split('/'), segments);
    return params === null ? [] : [{ route, params }];
  });
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): RouteParams | null {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? '';
    if (!part.startsWith('{')) {
      if (part !== segment) return null;
      continue;
    }
    const text = segment === '' ? null : decodePercent(segment);
    if (text === null) return null;
    params[part.slice(1, -1)] = text;
  }
  return params;
}
