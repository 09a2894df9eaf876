// Nodes that have lost a collection which the log says they have.

import { afterEach, describe, expect, test } from 'vitest';
import { COLLECTION, COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { BOTH, GREEN, RED, following, isSelection, replication, suspicion } from './scenario.ts';

afterEach(() => replication.stop());

describe('a node that has lost a collection', () => {
  const RENAMED = Buffer.from('{"new_name":"plums"}');
  const lose = (id: string): void => void replication.replica(id).fake.look('DELETE', `${COLLECTIONS}/pears`);
  const namesOn = (id: string): string[] =>
    (JSON.parse(replication.replica(id).fake.look('GET', COLLECTIONS).text) as { name: string }[]).map(
      ({ name }) => name,
    );

  async function holdingBoth(...nodes: string[]): Promise<void> {
    await following(...nodes);
    replication.write('add', BOTH);
    await replication.caughtUp();
  }

  test('is suspect and leaves a filtered delete to the next primary', async () => {
    await holdingBoth('a', 'b', 'c');
    lose('a');
    const lsn = replication.write('delete', RED);
    await replication.caughtUp();
    expect([suspicion('a'), suspicion('b'), suspicion('c')]).toEqual([
      `the node has no such collection, at LSN ${lsn}`,
      null,
      null,
    ]);
    expect(replication.primary).toBe('b');
    const { outcome, body } = replication.decisions.made.get(lsn)!;
    expect([outcome, body.toString()]).toEqual(['accepted', '["x"]']);
    expect(replication.content('b')).toContain('"ids":["y"]');
    expect(replication.content('c')).toBe(replication.content('b'));
  });

  test('leaves a filtered delete to the third node when two have lost the collection', async () => {
    await holdingBoth('a', 'b', 'c');
    for (const id of ['a', 'b']) lose(id);
    const first = replication.write('delete', RED);
    await replication.caughtUp();
    expect([suspicion('a'), suspicion('b'), suspicion('c')].map((each) => each !== null)).toEqual([
      true,
      true,
      false,
    ]);
    const second = replication.write('delete', GREEN);
    await replication.caughtUp();
    expect([first, second].map((lsn) => replication.decisions.made.get(lsn)!.body.toString())).toEqual([
      '["x"]',
      '["y"]',
    ]);
    expect(replication.content('c')).toContain('"ids":[]');
  });

  test('leaves a rename to the next primary', async () => {
    await holdingBoth('a', 'b');
    lose('a');
    const lsn = replication.append({
      type: 'modify_collection',
      collection: SHARD,
      shards: [SHARD],
      newName: 'plums',
      body: RENAMED,
    });
    await replication.caughtUp();
    expect(replication.decisions.made.get(lsn)!.outcome).toBe('accepted');
    expect([namesOn('a'), namesOn('b'), suspicion('a') !== null]).toEqual([[], ['plums'], true]);
  });

  test('is suspect as a replica, and the primary keeps its role', async () => {
    await holdingBoth('a', 'b');
    lose('b');
    const lsn = replication.write('delete', RED);
    await replication.caughtUp();
    expect([suspicion('a'), suspicion('b')]).toEqual([
      null,
      `the node has no such collection, at LSN ${lsn}`,
    ]);
    expect(replication.primary).toBe('a');
    expect(replication.content('a')).toContain('"ids":["y"]');
  });

  test('refuses the entry when no other node can decide, and the node that comes back goes on', async () => {
    await holdingBoth('a', 'b');
    const b = replication.replica('b');
    b.fake.kill();
    await replication.until(() => b.member.state === 'down', 'b is known to be down');
    lose('a');
    const lsn = replication.write('delete', RED);
    await replication.caughtUp('a');
    const { outcome, status } = replication.decisions.made.get(lsn)!;
    expect([outcome, status, suspicion('a') !== null]).toEqual(['refused', 503, true]);
    const rename = replication.append({
      type: 'modify_collection',
      collection: COLLECTION,
      shards: [SHARD],
      newName: 'plums',
      body: RENAMED,
    });
    await replication.caughtUp('a');
    expect(replication.decisions.made.get(rename)!.outcome).toBe('refused');

    b.fake.start();
    await replication.caughtUp();
    const later = replication.write('delete', GREEN);
    await replication.caughtUp();
    expect(replication.decisions.made.get(later)!.body.toString()).toBe('["y"]');
    expect([replication.content('b'), namesOn('b')]).toEqual([
      expect.stringContaining('"ids":["x"]'),
      ['pears'],
    ]);
  });

  test('refuses the entry when its successor fails before it takes over', async () => {
    await holdingBoth('a', 'b');
    const b = replication.replica('b');
    lose('a');
    b.fake.kill();
    const lsn = replication.write('delete', RED);
    await replication.until(() => suspicion('a') !== null, 'the loss is known');
    await replication.caughtUp('a');
    expect([replication.primary, replication.decisions.made.get(lsn)!.outcome]).toEqual(['a', 'refused']);
  });

  test('skips no undecided entry as a suspect replica: it may become the primary', async () => {
    await holdingBoth('a', 'b');
    lose('b');
    replication.write('delete', RED);
    await replication.caughtUp();
    expect(suspicion('b')).not.toBeNull();
    replication.replica('a').fake.plan(isSelection, { slowMs: 4_000 });
    const lsn = replication.write('delete', GREEN);
    await replication.clock.pass(3_000, 100);
    expect(replication.replica('b').checkpoint).toBe(lsn - 1);
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":[]');
  });
});
