// Traces the requests of a router, one span each.

import type { Tracer } from '../observability/tracer.ts';
import type { HttpResponse } from './response.ts';
import type { Router } from './router.ts';

export function tracedRouter(router: Router, tracer: Tracer): Router {
  return {
    match(method, path) {
      const match = router.match(method, path);
      if (typeof match === 'string') return match;
      const work = {
        name: match.name,
        attributes: { 'http.request.method': method, 'http.route': match.name },
        // The status of a streamed response is known later.
        statusOf: (response: HttpResponse) => (typeof response === 'function' ? null : response.status),
      };
      return {
        ...match,
        admit: (head) => match.admit(head),
        trimBody: (received) => match.trimBody(received),
        handle: (request) => tracer.request(work, request.headers, () => match.handle(request)),
      };
    },
    allowedMethods: (path) => router.allowedMethods(path),
  };
}
