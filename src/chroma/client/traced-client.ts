// Traces the calls to a node, one span each, and passes the trace on to it.

import type { TracedWork, Tracer } from '../../observability/tracer.ts';
import type { NodeClient } from './node-client.ts';
import type { NodeRequest, NodeResponse, ResponseSink } from './node-request.ts';

export function tracedClient(client: NodeClient, tracer: Tracer): NodeClient {
  const { host } = new URL(client.url);
  const workOf = <T>({ method, path }: NodeRequest, statusOf: TracedWork<T>['statusOf']) => ({
    name: `${method} ${actionOf(path)}`,
    attributes: { 'http.request.method': method, 'server.address': host },
    statusOf,
    changes: false,
  });
  const statusOf = ({ status }: NodeResponse): number => status;
  return {
    url: client.url,
    read: (request) =>
      tracer.call(workOf(request, statusOf), (headers) =>
        client.read({ ...request, headers: { ...request.headers, ...headers } }),
      ),
    stream: async (request, sink) => {
      let seen: number | null = null;
      const watched: ResponseSink = {
        head(status, ...rest) {
          seen = status;
          sink.head(status, ...rest);
        },
        data: (chunk) => sink.data(chunk),
      };
      await tracer.call(
        workOf<void>(request, () => seen),
        (headers) => client.stream({ ...request, headers: { ...request.headers, ...headers } }, watched),
      );
    },
    mutate: (request) =>
      tracer.call({ ...workOf(request, statusOf), changes: true }, (headers) =>
        client.mutate({ ...request, headers }),
      ),
    cutMutations: () => client.cutMutations(),
    close: () => client.close(),
    destroy: () => client.destroy(),
  };
}

/** What a call does, without names and ids: the last word of its path, or that of what is named there. */
function actionOf(path: string): string {
  const words = (path.split('?')[0] ?? '').split('/').filter((word) => word !== '');
  return words.findLast((word) => ACTIONS.has(word)) ?? 'request';
}

const ACTIONS: ReadonlySet<string> = new Set([
  'add',
  'upsert',
  'update',
  'delete',
  'get',
  'query',
  'count',
  'collections',
  'collections_count',
  'databases',
  'tenants',
  'heartbeat',
  'version',
  'pre-flight-checks',
]);
