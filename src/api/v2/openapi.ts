// What a server says of its API, for people and for tools: openapi.json and the pages that show it, as a node has them.

import { openApiPath, segment } from '../../chroma/protocol/paths.ts';
import type { RouteName } from './routes.ts';
import type { HttpResponse } from '../../http/response.ts';
import type { Reader } from '../../read/reader.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';

/** The handlers under the names of their routes. */
export function descriptionRoutes(reader: Reader): Partial<Record<RouteName, Handler>> {
  const pass = async (path: string, { signal }: ClientRequest): Promise<HttpResponse> => {
    // Any node that serves will do: all of a cluster can do the same.
    const wanted = { shard: null, floor: 0, sticky: false };
    const answer = await reader.read(wanted, { method: 'GET', path: () => path }, signal);
    return typeof answer !== 'function' && answer.status === 404 ? { status: 404 } : answer;
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
