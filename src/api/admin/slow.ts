// GET /admin/slow: requests of all gateways that took long.

import type { SlowRequestStore } from '../../history/slow-request-store.ts';
import { numberIn, privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;
const DAY_MS = 86_400_000;

/** The route names collections, so it needs an access check. */
export function slowRoutes(store: Pick<SlowRequestStore, 'list'>): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/slow',
      handle: async ({ query }) => {
        const requests = await store.list({
          sinceMs: numberIn(query, 'since_ms') ?? DAY_MS,
          bySlowest: query.get('order') === 'slowest',
          limit: Math.min(numberIn(query, 'limit') ?? PAGE_SIZE, PAGE_SIZE_MAX),
        });
        return privateJson({ requests: requests.map((each) => ({ ...each, at: each.at.toISOString() })) });
      },
    },
  ];
}
