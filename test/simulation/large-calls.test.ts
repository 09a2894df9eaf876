// Calls that are sent in parts.

import { afterEach, describe, expect, test } from 'vitest';
import { FAILURE, following, isWrite, replication, writing } from './scenario.ts';

afterEach(() => replication.stop());

describe('a large call', () => {
  const executedCalls = (id: string): number => replication.replica(id).fake.executed.filter(isWrite).length;
  const records = (count: number): string =>
    JSON.stringify({
      ids: Array.from({ length: count }, (_, n) => `r${n}`),
      embeddings: Array.from({ length: count }, (_, n) => [n]),
    });

  test('is sent in parts, to the primary first', async () => {
    await following('a', 'b');
    for (const { fake } of replication.replicas)
      fake.choose = ({ mutates }) => (mutates ? { slowMs: 900 } : null);
    replication.write('add', records(2_500));
    await replication.until(() => executedCalls('a') === 1, 'the first part is applied');
    expect(executedCalls('b')).toBe(0);
    await replication.caughtUp();
    expect([executedCalls('a'), executedCalls('b')]).toEqual([3, 3]);
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('ends partly applied, in the same way on every node, when the servers fail one part', async () => {
    await following('a', 'b', 'c');
    for (const { fake } of replication.replicas) fake.plan(writing('"r1500"'), FAILURE, Infinity);
    const lsn = replication.write('add', records(2_500));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn, outcome: 'partly_applied' }]);
    const { body } = replication.decisions.made.get(lsn)!;
    expect(JSON.parse(body.toString())).toMatchObject({ error: 'InternalError', applied: 834 });
    const { ids } = JSON.parse(replication.content('a')) as { ids: string[] };
    expect(ids).toHaveLength(834);
    for (const id of ['b', 'c']) expect(replication.content(id)).toBe(replication.content('a'));
  });
});
