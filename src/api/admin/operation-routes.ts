// GET /admin/operations: what long operations do, and how they ended.

import { PolychromeError } from '../../errors.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import type { OperationStatus, Operations } from './operations.ts';
import type { AdminRoute } from './routes.ts';

export function operationRoutes(operations: Pick<Operations, 'list' | 'find'>): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/operations',
      handle: async () => uncached({ operations: operations.list() }),
    },
    {
      method: 'GET',
      path: '/admin/operations/{operation}',
      handle: async ({ params }) => {
        const found = operations.find(params['operation'] ?? '');
        if (found !== null) return uncached(found);
        throw new PolychromeError(
          'not_found',
          `This gateway knows no operation ${params['operation']}. It has been restarted since, or the operation ended long ago.`,
        );
      },
    },
  ];
}

/** The response to a request that starts an operation. */
export const operationStarted = (status: OperationStatus): WholeResponse => uncached(status, 202);

function uncached(value: object, status = 200): WholeResponse {
  return { ...jsonResponse(value, status), headers: { 'cache-control': 'no-store' } };
}
