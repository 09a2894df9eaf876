// /admin/log: what the entries of the log change and how large they are, never their content; what the log has lost, and the
// way on without it.

import type { Catalog } from '../../catalog/catalog.ts';
import type { PostgresLog } from '../../log/postgres-log.ts';
import type { EventSink } from '../../observability/events.ts';
import { PolychromeError } from '../../errors.ts';
import { operationStarted } from './operation-routes.ts';
import type { Operations, OperationWork } from './operations.ts';
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

export interface LogLossOptions {
  /** What was lost and what a recovery would do. Throws PolychromeError when nothing was lost. */
  readonly inspect: () => Promise<object>;
  readonly recover: OperationWork;
  readonly operations: Pick<Operations, 'start'>;
  readonly events: EventSink;
}

/** A halted gateway serves them. */
export function logLossRoutes({
  inspect,
  recover,
  operations,
  events,
}: LogLossOptions): readonly AdminRoute[] {
  return [
    { method: 'GET', path: '/admin/log/loss', handle: async () => privateJson(await inspect()) },
    {
      method: 'POST',
      path: '/admin/log/recover',
      handle: async ({ query }) => {
        if (query.get('accept_loss') !== 'true')
          throw new PolychromeError(
            'invalid_argument',
            'The lost entries are gone for good after this; accept_loss=true says that you accept it.',
          );
        // Refused at once when nothing was lost.
        await inspect();
        events.record('operator_action', { action: 'log_recover' });
        return operationStarted(operations.start({ kind: 'log recover', target: '' }, recover));
      },
    },
  ];
}
