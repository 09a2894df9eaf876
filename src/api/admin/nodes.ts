// /admin/nodes: the nodes of the cluster, and what operators do to them.

import { jsonResponse } from '../../http/response.ts';
import { operationStarted } from './operation-routes.ts';
import type { Operations, OperationWork } from './operations.ts';
import type { AdminRoute } from './routes.ts';
import type { StatusSource } from './status-source.ts';
import { statusOf } from './status.ts';

/** What can be done to a node: by the last segment of its path. */
export interface NodeActions {
  /** The work of an action; throws PolychromeError when it cannot be begun. `query`: of the request. */
  readonly [action: string]: (node: string, query: URLSearchParams) => OperationWork;
}

export interface NodeRoutesOptions {
  readonly status: StatusSource;
  readonly operations: Pick<Operations, 'start'>;
  readonly actions: NodeActions;
}

export function nodeRoutes({ status, operations, actions }: NodeRoutesOptions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/nodes',
      handle: async () => ({
        ...jsonResponse({ nodes: statusOf(status).nodes }),
        headers: { 'cache-control': 'no-store' },
      }),
    },
    ...Object.entries(actions).map(([action, begin]): AdminRoute => ({
      method: 'POST',
      path: `/admin/nodes/{node}/${action}`,
      handle: async ({ params, query }) => {
        const target = params['node'] ?? '';
        return operationStarted(operations.start({ kind: `node ${action}`, target }, begin(target, query)));
      },
    })),
  ];
}
