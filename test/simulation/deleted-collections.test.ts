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

  describe('on servers that keep lists of deleted records', () => {
    const RECORDS = 2_500;
    const isEmptying = ({ path, body }: FakeCall): boolean => path.endsWith('/delete') && body.includes('"r');

    async function filled(): Promise<void> {
      await following(...NODES);
      const ids = Array.from({ length: RECORDS }, (_, index) => `"r${index}"`);
      replication.write('add', `{"ids":[${ids.join()}],"embeddings":[${ids.map(() => '[1]').join()}]}`);
      await replication.caughtUp();
      replication.storage.capabilities = { ...replication.storage.capabilities, metadataArrays: true };
    }

    test('empties it in the background, and delays no later entry', async () => {
      await filled();
      const { fake } = replication.replica('b');
      fake.plan(isEmptying, 'hang');
      deletePears();
      createAgain();
      await replication.caughtUp();
      expect(NODES.map(namesOn)).toEqual(NODES.map(() => ['deleted-', 'pears']));
      await replication.until(() => fake.hanging > 0, 'it is being emptied');
      fake.release();
      await replication.until(() => NODES.every((id) => namesOn(id).length === 1), 'it is dropped', {
        stepMs: 100,
      });
      expect(NODES.map((id) => replication.replica(id).fake.executed.filter(isEmptying).length)).toEqual(
        NODES.map(() => Math.ceil(RECORDS / 1_000)),
      );
    });

    test('keeps its database while it is being emptied', async () => {
      await filled();
      deletePears();
      replication.append({ type: 'delete_database', tenant: PLACE.tenant, database: PLACE.database });
      await replication.caughtUp();
      expect(NODES.map(namesOn)).toEqual(NODES.map(() => ['deleted-']));
      await replication.until(() => NODES.every((id) => namesOn(id).length === 0), 'it is dropped', {
        stepMs: 100,
      });
      const emptied = replication.replica('a').fake.executed.filter(isEmptying);
      expect(emptied.length).toBeGreaterThan(0);
    });

    test('gives up a drop that keeps failing', async () => {
      await filled();
      for (const id of NODES) replication.replica(id).fake.plan(isDrop, FAILURE, Infinity);
      deletePears();
      createAgain();
      await replication.caughtUp();
      await replication.clock.pass(600_000, 1_000);
      const drops = replication.replica('b').fake.executed.filter(isDrop).length;
      expect(NODES.map(namesOn)).toEqual(NODES.map(() => ['copy-', 'pears']));
      expect(drops).toBeLessThanOrEqual(5);
    });
  });
});
