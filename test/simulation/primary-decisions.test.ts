// Entries that only the primary can decide.

import { afterEach, describe, expect, test } from 'vitest';
import type { FakeCall } from '../support/fake-chroma/node.ts';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { BOTH, RED, following, isSelection, replication, serving } from './scenario.ts';

afterEach(() => replication.stop());

describe('an entry that only the primary can decide', () => {
  const isCreate = ({ method, path }: FakeCall): boolean => method === 'POST' && path === COLLECTIONS;

  test('creates one collection on every node when the response to the creation is lost', async () => {
    await serving(['a', 'b']);
    for (const { fake } of replication.replicas) fake.plan(isCreate, 'drop_after');
    replication.create();
    await replication.caughtUp();
    for (const { fake, assigned } of replication.replicas) {
      const list = JSON.parse(fake.look('GET', COLLECTIONS).text) as { id: string }[];
      expect(list.map(({ id }) => id)).toEqual([assigned.get(SHARD)!.physical]);
    }
  });

  test('selects the records of a filtered delete on the primary, before any other node deletes', async () => {
    await following('a', 'b');
    replication.write('add', BOTH);
    await replication.caughtUp();
    replication.replica('a').fake.plan(isSelection, { slowMs: 4_000 });
    replication.write('delete', RED);
    await replication.clock.pass(3_000, 100);
    expect(replication.content('b')).toContain('"ids":["x","y"]');
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["y"]');
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('does not select the records of a filtered delete again when its call is repeated', async () => {
    await following('a');
    const { fake } = replication.replica('a');
    replication.write('add', BOTH);
    await replication.caughtUp();
    fake.plan(({ path }) => path.endsWith('/delete'), 'hang');
    const lsn = replication.write('delete', RED);
    await replication.until(() => fake.hanging === 1, 'the delete is out');
    fake.look(
      'POST',
      `${COLLECTIONS}/${replication.replica('a').assigned.get(SHARD)!.physical}/update`,
      '{"ids":["y"],"documents":["red"]}',
    );
    fake.cut();
    await replication.caughtUp();
    expect(replication.decisions.made.get(lsn)!.body.toString()).toBe('["x"]');
    expect(replication.content('a')).toContain('"ids":["y"]');
  });
});
