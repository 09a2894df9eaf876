// GET /admin/events: what happened to the cluster, from the events of all gateways.

import { PolychromeError } from '../../errors.ts';
import type { EventStore } from '../../history/event-store.ts';
import { EVENT_KINDS } from '../../observability/events.ts';
import { numberIn, privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

const PAGE_SIZE = 100;
const PAGE_SIZE_MAX = 1_000;

/** Events name nodes and collections, so the route needs an access check. */
export function eventRoutes(store: Pick<EventStore, 'list'>): readonly AdminRoute[] {
  return [
    {
      method: 'GET',
      path: '/admin/events',
      handle: async ({ query }) => {
        const events = await store.list({
          before: numberIn(query, 'before'),
          after: numberIn(query, 'after'),
          kind: oneOf(query, 'kind', Object.keys(EVENT_KINDS)),
          level: oneOf(query, 'level', ['info', 'warning', 'error']),
          node: query.get('node'),
          limit: Math.min(numberIn(query, 'limit') ?? PAGE_SIZE, PAGE_SIZE_MAX),
        });
        return privateJson({ events: events.map((event) => ({ ...event, at: event.at.toISOString() })) });
      },
    },
  ];
}

function oneOf(query: URLSearchParams, name: string, values: readonly string[]): string | null {
  const value = query.get(name);
  if (value === null || values.includes(value)) return value;
  throw new PolychromeError('invalid_argument', `${name} must be one of ${values.join(', ')}.`);
}
