// Records that were changed on a server while it was away: the copy is suspect before the node serves.

import { afterEach, expect, test } from 'vitest';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { following, replication, upsert } from './scenario.ts';

afterEach(() => replication.stop());

/** Changes what a node holds, without the gateway. */
function change(id: string, action: string, body: string): void {
  const { fake, assigned } = replication.replica(id);
  const { status } = fake.look('POST', `${COLLECTIONS}/${assigned.get(SHARD)!.physical}/${action}`, body);
  if (status >= 300) throw new Error(`${action}: ${status}`);
}

async function away(id: string, meanwhile: () => void): Promise<void> {
  const { fake, member } = replication.replica(id);
  fake.kill();
  await replication.until(() => member.state === 'down', 'the node is known to be down');
  replication.write('upsert', upsert('meanwhile', 9));
  meanwhile();
  fake.start();
  await replication.until(() => member.state === 'serving', 'the node serves');
}

const isSuspect = (id: string): boolean =>
  (replication.replica(id).assigned.get(SHARD)?.suspect ?? null) !== null;

test.each<[string, string, string]>([
  ['an edited document', 'update', '{"ids":["x"],"documents":["edited"]}'],
  ['edited metadata', 'update', '{"ids":["x"],"metadatas":[{"edited":1}]}'],
  ['an edited vector', 'update', '{"ids":["x"],"embeddings":[[9]]}'],
  ['a missing record', 'delete', '{"ids":["x"]}'],
  ['a stray record', 'add', '{"ids":["stray"],"embeddings":[[9]]}'],
])('%s is found before the node serves', async (_what, action, body) => {
  await following('a', 'b', 'c');
  for (const [index, id] of ['x', 'y', 'z'].entries()) replication.write('upsert', upsert(id, index));
  await replication.caughtUp();
  // Long enough for the marker to cover what is changed.
  await replication.clock.pass(3_000, 100);
  await away('b', () => change('b', action, body));
  expect(['a', 'b', 'c'].map(isSuspect)).toEqual([false, true, false]);
});

test('a node that was only away raises no alarm', async () => {
  await following('a', 'b', 'c');
  for (const [index, id] of ['x', 'y', 'z'].entries()) replication.write('upsert', upsert(id, index));
  await replication.caughtUp();
  for (const id of ['b', 'c', 'a']) await away(id, () => undefined);
  expect(['a', 'b', 'c'].map(isSuspect)).toEqual([false, false, false]);
});

const MARKER = '/api/v2/tenants/polychrome/databases/polychrome/collections/marker';

function viewIn(id: string): number {
  const { text } = replication.replica(id).fake.look('GET', MARKER);
  return (JSON.parse(text) as { metadata: { view?: number } }).metadata.view ?? 0;
}

test('R17: a suspicion is announced in the marker of its node', async () => {
  await following('a', 'b', 'c');
  await replication.clock.pass(2_000, 100);
  expect(['a', 'b', 'c'].map(viewIn)).toEqual([0, 0, 0]);
  await replication.suspect('b');
  await replication.clock.pass(500, 10);
  expect(viewIn('b')).toBeGreaterThan(0);
  expect(['a', 'c'].map(viewIn)).toEqual([0, 0]);
});
