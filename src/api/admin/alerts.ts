// GET /admin/alerts and POST /admin/alerts/test: open alerts, what became of messages, and a test of the webhooks.

import type { AlertStore } from '../../alerts/alert-store.ts';
import type { Webhooks } from '../../alerts/webhooks.ts';
import { privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

export interface AlertRoutesOptions {
  readonly store: Pick<AlertStore, 'listAll'>;
  readonly webhooks: Pick<Webhooks, 'states'>;
  /** Sends a test to every webhook; the result of each. */
  readonly test: () => Promise<readonly { name: string; error: string | null }[]>;
}

export function alertRoutes({ store, webhooks, test }: AlertRoutesOptions): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/alerts',
      handle: async () => {
        const open = await store.listAll();
        return privateJson({
          open: open.map((alert) => ({ ...alert, since: alert.since.toISOString() })),
          webhooks: webhooks.states,
        });
      },
    },
    {
      method: 'POST',
      path: '/admin/alerts/test',
      handle: async () => privateJson({ results: await test() }),
    },
  ];
}
