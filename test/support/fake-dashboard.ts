// The dashboard of a cluster that a test makes up: the real pages and stream, without servers behind them.

import { adminRouter } from '../../src/api/admin/routes.ts';
import type { StatusSource } from '../../src/api/admin/status-source.ts';
import { readUiFiles, uiFileRoutes } from '../../src/api/ui/files.ts';
import { LiveFeed, type LiveCollection } from '../../src/api/ui/live-feed.ts';
import { LiveStream } from '../../src/api/ui/live-stream.ts';
import type { Traffic } from '../../src/api/ui/traffic.ts';
import type { Condition } from '../../src/alerts/conditions.ts';
import { ERROR_RESPONSES } from '../../src/api/v2/error-responses.ts';
import type { StoredEvent } from '../../src/history/event-store.ts';
import { ResponseBudget } from '../../src/http/response-budget.ts';
import { startServer } from '../../src/http/server.ts';
import { systemClock } from '../../src/util/clock.ts';

export interface FakeDashboardOptions {
  readonly status: StatusSource;
  readonly conditions: readonly Condition[];
  readonly collections: readonly LiveCollection[];
  readonly traffic: Traffic;
  readonly events?: readonly StoredEvent[];
}

const ADMIN_BODY_BYTES_MAX = 64 * 1024;

/** Serves it on a free port. */
export async function startFakeDashboard({
  status,
  conditions,
  collections,
  traffic,
  events = [],
}: FakeDashboardOptions): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const records = collections.reduce((sum, collection) => sum + (collection.records ?? 0), 0);
  const feed = new LiveFeed({
    status,
    traffic: { measure: () => traffic },
    sizes: { total: () => records, run: () => Promise.resolve() },
    collections: () => collections,
    collectionCount: () => collections.length,
    conditions: () => conditions,
    openAlerts: () => Promise.resolve([]),
    events: () => Promise.resolve(events),
    operations: { list: () => [] },
    actions: ['promote', 'drain', 'undrain', 'verify'],
    clock: systemClock,
  });
  const live = new LiveStream({
    clock: systemClock,
    produce: (stream, signal) => feed.produce(stream, signal),
  });
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    router: adminRouter([
      ...uiFileRoutes(readUiFiles()),
      { method: 'GET', path: '/ui/live', handle: live.handle },
    ]),
    errors: ERROR_RESPONSES,
    clock: systemClock,
    logger: { error: () => undefined },
    maxBodyBytes: ADMIN_BODY_BYTES_MAX,
    bodyBudgetBytes: ADMIN_BODY_BYTES_MAX,
    responseBudget: new ResponseBudget({ clock: systemClock }),
    requests: { observe: () => undefined },
    corsAllowOrigins: [],
  });
  return {
    url: `${server.url}/ui/`,
    stop: () => {
      live.stop();
      return server.stop(1_000);
    },
  };
}
