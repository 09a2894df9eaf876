// What a node goes past, because it has lost the shard or holds it in doubt, counts for no level of acknowledgement (I3).

import { afterEach, expect, test } from 'vitest';
import type { RecordKind } from '../../src/chroma/parse/record-call.ts';
import type { AckLevel } from '../../src/coordination/cluster-view.ts';
import { MemoryReplication, SHARD } from '../support/memory-replication.ts';
import { seededRandom } from '../support/seeded-random.ts';

const LEVELS = ['primary', 'quorum', 'all'] as const;
const PEARS = '/api/v2/tenants/default_tenant/databases/default_database/collections/pears';
const BOTH = '{"ids":["x","y"],"embeddings":[[1],[2]],"documents":["red","green"]}';
const RED = '{"where_document":{"$contains":"red"}}';
const ANOTHER = '{"ids":["z"],"embeddings":[[3]],"documents":["blue"]}';

let replication: MemoryReplication;
afterEach(() => replication.stop());

/** Three nodes that hold two records, of which c then loses them with their collection. */
async function oneHasLostAll(): Promise<void> {
  replication = new MemoryReplication({ nodes: ['a', 'b', 'c'], random: seededRandom(7) });
  replication.create();
  for (const replica of replication.replicas) replica.follow();
  replication.write('add', BOTH);
  await replication.level();
  replication.replica('c').fake.look('DELETE', PEARS);
}

/** A write, and the levels it has reached so far. */
function write(kind: RecordKind, body: string): { lsn: number; reached: AckLevel[] } {
  const lsn = replication.write(kind, body);
  const reached: AckLevel[] = [];
  for (const level of LEVELS) {
    const waiting = replication.positions.reached({ lsn, shard: SHARD }, level, new AbortController().signal);
    void waiting.then(() => reached.push(level));
  }
  return { lsn, reached };
}

test('a delete by filter on which it turns out, and every write after it', async () => {
  await oneHasLostAll();
  for (const [kind, body] of [
    ['delete', RED],
    ['upsert', ANOTHER],
  ] as const) {
    const { reached } = write(kind, body);
    await replication.level();
    expect([kind, reached.toSorted()]).toEqual([kind, ['primary', 'quorum']]);
    expect(replication.replica('c').held.get(SHARD)!.suspect).toContain('no such collection');
  }
});

test('nor when its checkpoint became durable with nobody there to hear it', async () => {
  await oneHasLostAll();
  replication.write('delete', RED);
  await replication.level();
  const c = replication.replica('c');
  await c.leave();
  const { lsn, reached } = write('upsert', ANOTHER);
  await replication.level('a', 'b');
  c.checkpoint = lsn;
  c.follow();
  await replication.until(() => replication.positions.applied('c') === lsn, 'it is as far');
  await replication.clock.pass(10, 10);
  expect(reached.toSorted()).toEqual(['primary', 'quorum']);
});

test('but what came to nothing is lacked by nobody', async () => {
  replication = new MemoryReplication({ nodes: ['a'], random: seededRandom(7) });
  replication.create();
  const a = replication.replica('a');
  a.follow();
  replication.write('add', BOTH);
  await replication.level();
  a.fake.look('DELETE', PEARS);
  const { lsn, reached } = write('delete', RED);
  await replication.level();
  expect(a.held.get(SHARD)!.suspect).toContain('no such collection');
  expect((await replication.decisions.find(lsn))?.outcome).toBe('refused');
  expect(reached.toSorted()).toEqual(['all', 'primary', 'quorum']);
});
