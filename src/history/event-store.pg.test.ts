import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { EventKind, EventLevel, RecordedEvent } from '../observability/events.ts';
import { EventStore, type EventFilter } from './event-store.ts';

let postgres: TestPostgres;
let store: EventStore;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = new EventStore(await postgres.database());
});

const event = (kind: EventKind, level: EventLevel, node: string | null, at = 1_000.5): RecordedEvent => ({
  at,
  kind,
  level,
  node,
  detail: { reason: 'a "quoted" reason', epoch: 3 },
});
const list = async (filter: Partial<EventFilter> = {}): Promise<string[]> => {
  const all = { before: null, after: null, kind: null, level: null, node: null, limit: 10 };
  return (await store.list({ ...all, ...filter })).map(({ kind }) => kind);
};

test('keeps what was stored, in its order', async () => {
  await store.append([event('node_down', 'error', 'a'), event('primary_changed', 'warning', 'b', 2_000)]);
  await store.append([event('node_recovered', 'info', 'a', 500)]);
  expect(await list()).toEqual(['node_recovered', 'primary_changed', 'node_down']);
  const [, , first] = await store.list({
    before: null,
    after: null,
    kind: null,
    level: null,
    node: null,
    limit: 10,
  });
  expect(first).toMatchObject({ ...event('node_down', 'error', 'a'), id: 1, at: expect.any(Date) as Date });
});

test('forgets old events', async () => {
  const day = 86_400_000;
  await store.append([
    event('node_down', 'error', 'a', Date.now() - 181 * day),
    event('node_recovered', 'info', 'a', Date.now() - 179 * day),
  ]);
  await store.forgetOld(180);
  expect(await list()).toEqual(['node_recovered']);
});

test('lists by kind, level, node and position', async () => {
  await store.append([
    event('node_down', 'error', 'a'),
    event('node_down', 'error', 'b'),
    event('node_recovered', 'info', 'a'),
  ]);
  expect(await list({ kind: 'node_down' })).toHaveLength(2);
  expect(await list({ level: 'info' })).toEqual(['node_recovered']);
  expect(await list({ node: 'a' })).toEqual(['node_recovered', 'node_down']);
  expect(await list({ before: 2 })).toEqual(['node_down']);
  expect(await list({ after: 1 })).toEqual(['node_down', 'node_recovered']);
  expect(await list({ limit: 1 })).toEqual(['node_recovered']);
});
