// Python clients from 0.5.16 to 0.6.3: they use the v2 API, with the bodies and the collection objects of the v1 API.

import type { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';
import type { RouteName } from '../v2/routes.ts';
import { olderCollections, withTodaysConfiguration } from './collection-objects.ts';

type Handlers = Readonly<Partial<Record<RouteName, Handler>>>;

/** The handlers, those of collections and selections with a case for these clients. */
export function forOlderPython(
  handlers: Handlers,
  scanner: Pick<LargeScanner, 'withoutOlderParts'>,
): Handlers {
  const wrapped: Partial<Record<RouteName, Handler>> = { ...handlers };
  const wrap = (
    name: RouteName,
    older: (handler: Handler, request: ClientRequest) => ReturnType<Handler>,
  ) => {
    const handler = handlers[name];
    if (handler !== undefined)
      wrapped[name] = (request) => (isOlderPython(request) ? older(handler, request) : handler(request));
  };
  for (const name of ['list_collections', 'get_collection', 'create_collection'] as const)
    wrap(name, async (handler, request) => {
      const isCreate = name === 'create_collection';
      const body = isCreate ? withTodaysConfiguration(request.body) : request.body;
      const response = await handler(withBody(request, body));
      if (typeof response === 'function' || response.status >= 400 || response.body === undefined)
        return response;
      return { ...response, body: olderCollections(Buffer.from(response.body), 'whole') };
    });
  for (const name of ['get', 'query', 'delete'] as const)
    wrap(name, async (handler, request) => {
      const { body } = await scanner.withoutOlderParts(request.body);
      return handler(withBody(request, body));
    });
  return wrapped;
}

/** Python clients from 0.5.4 on use the library httpx and send its name; from 1.0 on they send a name of their own. */
function isOlderPython({ headers }: ClientRequest): boolean {
  return headers['user-agent']?.startsWith('python-httpx/') === true;
}

function withBody({ method, params, headers, query, remoteAddress, signal }: ClientRequest, body: Buffer) {
  return { method, params, headers, query, remoteAddress, signal, body };
}
