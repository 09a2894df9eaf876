// Deletions of collections that servers cannot carry out: they hold up neither the log nor the name (R30).

import { afterEach, describe, expect, test } from 'vitest';
import type { FakeCall } from '../support/fake-chroma/node.ts';
import { COLLECTION, COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { FAILURE, following, isReserved, replication } from './scenario.ts';

afterEach(() => replication.stop());

const NODES = ['a', 'b'];
const PLACE = { tenant: 'default_tenant', database: 'default_database', name: 'pears' };
const isDrop = ({ method, path }: FakeCall): boolean => method === 'DELETE' && !isReserved({ path });
const isRename = ({ body }: FakeCall): boolean => body.includes('"new_name":"deleted-');

function deletePears(): number {
  return replication.append({
    type: 'delete_collection',
    collection: COLLECTION,
    shards: [SHARD],
    ...PLACE,
  });
}

/** Creates another collection of the same name. */
function createAgain(): number {
  const collection = COLLECTION.replace(/^0/, '1');
  const shard = SHARD.replace(/^0/, '1');
  const body = Buffer.from('{"name":"pears"}');
  return replication.append({ type: 'create_collection', collection, shard, ...PLACE, body });
}

/** Names of the collections that a server holds. */
function namesOn(id: string): string[] {
  const { text } = replication.replica(id).fake.look('GET', COLLECTIONS);
  return (JSON.parse(text) as { name: string }[]).map(({ name }) => name.replace(/-.*/, '-')).sort();
}

describe('the deletion of a collection', () => {
  test('leaves nothing behind', async () => {
    await following(...NODES);
    deletePears();
    createAgain();
    await replication.caughtUp();
    expect(NODES.map(namesOn)).toEqual([['pears'], ['pears']]);
  });

  test('leaves nothing behind when a connection ends during the drop', async () => {
    await following(...NODES);
    const { fake } = replication.replica('b');
    fake.plan(isDrop, 'hang');
    deletePears();
    await replication.until(() => fake.hanging > 0, 'the call is in flight');
    fake.cut();
    createAgain();
    await replication.caughtUp();
    expect(NODES.map(namesOn)).toEqual([['pears'], ['pears']]);
  });

  test('that no server carries out frees the name, and delays no later entry', async () => {
    await following(...NODES);
    for (const id of NODES) replication.replica(id).fake.plan(isDrop, FAILURE, Infinity);
    const since = replication.clock.monotonic();
    deletePears();
    createAgain();
    await replication.caughtUp();
    expect(replication.clock.monotonic() - since).toBeLessThan(5_000);
    expect(replication.ended).toEqual([]);
    expect(NODES.map(namesOn)).toEqual(NODES.map(() => ['deleted-', 'pears']));
  });

  test('that ends each server is given up', async () => {
    await following(...NODES);
    for (const id of NODES) replication.replica(id).fake.plan(isDrop, 'hang', Infinity);
    const lsn = deletePears();
    let ended = 0;
    const hasGoneOn = (id: string): boolean => {
      const { fake, checkpoint } = replication.replica(id);
      if (fake.hanging > 0) {
        ended += 1;
        replication.restart(id);
      }
      return checkpoint === lsn;
    };
    await replication.until(() => NODES.map(hasGoneOn).every(Boolean), 'both have gone on');
    expect(ended).toBeLessThanOrEqual(2 * NODES.length);
    createAgain();
    await replication.caughtUp();
    expect([replication.ended, ...NODES.map(namesOn)]).toEqual([
      [],
      ...NODES.map(() => ['deleted-', 'pears']),
    ]);
  });

  test('that the primary cannot even rename is quarantined, and the name can be used again', async () => {
    await following(...NODES);
    replication.replica('a').fake.plan(isRename, FAILURE, 5);
    const lsn = deletePears();
    createAgain();
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn, outcome: 'quarantined' }]);
    expect(NODES.map(namesOn)).toEqual(NODES.map(() => ['deleted-', 'pears']));
    expect(NODES.map((id) => replication.replica(id).member.state)).toEqual(['serving', 'serving']);
  });
});
