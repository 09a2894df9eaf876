// The handlers of openapi.json and of the pages that show it: a node's own.

import { openApiPath, segment } from '../../chroma/protocol/paths.ts';
import type { RouteName } from './routes.ts';
import type { HttpResponse } from '../../http/response.ts';
import type { Reader } from '../../read/reader.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';

/** The handlers under the names of their routes. */
export function descriptionRoutes(reader: Reader): Partial<Record<RouteName, Handler>> {
  const pass = async (path: string, { signal }: ClientRequest): Promise<HttpResponse> => {
    // Any serving node: all nodes of a cluster have the same API.
    const wanted = { shard: null, floor: 0, sticky: false };
    const response = await reader.read(wanted, { method: 'GET', path: () => path }, signal);
    return typeof response !== 'function' && response.status === 404 ? { status: 404 } : response;
  };
  return {
    openapi: (request) => pass(openApiPath, request),
    docs_redirect: () => Promise.resolve({ status: 303, headers: { location: '/docs/' } }),
    docs: (request) => {
      const segments = (request.params['rest'] ?? '').split('/').filter((text) => text !== '');
      return pass(`/docs/${segments.map(segment).join('/')}`, request);
    },
  };
}
