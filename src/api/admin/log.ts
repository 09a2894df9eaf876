// GET /admin/log: what the entries of the log change and how large they are, never their content.

import type { Catalog } from '../../catalog/catalog.ts';
import type { PostgresLog } from '../../log/postgres-log.ts';
import { numberIn, privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;

/** The route names collections, so it needs an access check. */
export function logRoutes(
  log: Pick<PostgresLog, 'summaries'>,
  catalog: Pick<Catalog, 'collectionOfShard'>,
): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/log',
      handle: async ({ query }) => {
        const limit = Math.min(numberIn(query, 'limit') ?? PAGE_SIZE, PAGE_SIZE_MAX);
        const entries = await log.summaries(numberIn(query, 'after'), limit);
        return privateJson({
          entries: entries.map(({ target, appendedAt, ...entry }) => {
            const at = target === null ? null : catalog.collectionOfShard(target);
            const collection = at === null ? null : `${at.tenant}/${at.database}/${at.name}`;
            return { ...entry, at: appendedAt.toISOString(), collection };
          }),
        });
      },
    },
  ];
}
