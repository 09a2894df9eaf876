// Entries that end the servers they are sent to.

import { afterEach, describe, expect, test } from 'vitest';
import { executed, following, replication, upsert } from './scenario.ts';

afterEach(() => replication.stop());

describe('an entry that ends servers', () => {
  /** Every one of these servers that gets the call ends, and is started again a second later. */
  function deadly(...nodes: string[]): { died: string[] } {
    const died: string[] = [];
    for (const id of nodes) {
      const { fake } = replication.replica(id);
      fake.choose = (call) => {
        if (!call.mutates || !call.body.includes('"1"')) return null;
        died.push(id);
        replication.clock.after(0, () => replication.restart(id));
        return 'hang';
      };
    }
    return { died };
  }

  test('reaches two nodes of three, and is quarantined', async () => {
    await following('a', 'b', 'c');
    const { died } = deadly('a', 'b', 'c');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect(new Set(died).size).toBe(2);
    expect(died.length).toBeLessThanOrEqual(5);
    expect(new Set(['a', 'b', 'c'].map((id) => replication.content(id))).size).toBe(1);
  });

  test('is quarantined by the only node there is', async () => {
    await following('a');
    const { died } = deadly('a');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect([replication.ended, died.length]).toEqual([[{ lsn: 2, outcome: 'quarantined' }], 7]);
    expect(executed('a')).toEqual(['2']);
  });

  test('does not take its neighbours in the same call with it', async () => {
    await following('a', 'b', 'c');
    deadly('a', 'b', 'c');
    for (const [id, value] of [
      ['w', 3],
      ['x', 1],
      ['y', 2],
    ] as const)
      replication.write('upsert', upsert(id, value));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 3, outcome: 'quarantined' }]);
    for (const id of ['a', 'b', 'c']) expect(replication.content(id)).toContain('"ids":["w","y"]');
  });
});
