// What is no evidence against an entry or a copy: ordinary faults must not make either of them suffer.

import { afterEach, describe, expect, test } from 'vitest';
import type { FakeCall } from '../support/fake-chroma/node.ts';
import { SHARD } from '../support/memory-replication.ts';
import {
  executed,
  FAILURE,
  FAILURE_WITH_EFFECT,
  following,
  isWrite,
  REFUSAL,
  replication,
  serving,
  suspicion,
  upsert,
} from './scenario.ts';

afterEach(() => replication.stop());

const records = (count: number): string =>
  JSON.stringify({
    ids: Array.from({ length: count }, (_, n) => `r${n}`),
    embeddings: Array.from({ length: count }, (_, n) => [n]),
  });
const parts = (id: string): number => replication.replica(id).fake.executed.filter(isWrite).length;
const slow = (): void => {
  for (const { fake } of replication.replicas)
    fake.choose = ({ mutates }) => (mutates ? { slowMs: 900 } : null);
};

describe('a large entry that nodes can apply', () => {
  test('is applied by every node when the primary is killed between two parts', async () => {
    await following('a', 'b', 'c');
    slow();
    replication.write('add', records(5_000));
    await replication.until(() => parts('a') === 2, 'two parts are applied');
    replication.restart('a');
    await replication.caughtUp();
    expect([replication.ended, suspicion('a'), suspicion('b'), suspicion('c')]).toEqual([
      [],
      null,
      null,
      null,
    ]);
    for (const id of ['a', 'b', 'c']) {
      const { ids } = JSON.parse(replication.content(id)) as { ids: string[] };
      expect([id, ids.length]).toEqual([id, 5_000]);
    }
  });

  test('is applied by the only node although it is killed at six different parts', async () => {
    await following('a');
    slow();
    replication.write('add', records(8_000));
    for (let kills = 1; kills <= 6; kills++) {
      const before = parts('a');
      await replication.until(() => parts('a') >= before + kills, 'a further part is applied');
      replication.restart('a');
    }
    await replication.caughtUp();
    expect([replication.ended, suspicion('a')]).toEqual([[], null]);
    expect((JSON.parse(replication.content('a')) as { ids: string[] }).ids).toHaveLength(8_000);
  });
});

describe('a failing entry that changes nothing which is there already', () => {
  test('leaves the copies of nodes in use that were never offered it', async () => {
    await following('a', 'b', 'c');
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    const failing = upsert('x', 1).replace('}', ',"metadatas":[{"k":"boom"}]}');
    for (const { fake } of replication.replicas)
      fake.plan(({ body }) => body.includes('boom'), FAILURE, Infinity);
    replication.write('upsert', failing);
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 3, outcome: 'quarantined' }]);
    expect([suspicion('b'), suspicion('c')]).toEqual([null, null]);
  });

  test.each([
    ['an add of a record that exists', 'add', '"x"'],
    ['an update of a record that is missing', 'update', '"y"'],
  ] as const)('leaves every copy in use under the next leader: %s', async (_what, kind, id) => {
    await following('a', 'b', 'c');
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    for (const { fake } of replication.replicas)
      fake.plan(({ body }) => body.includes('boom'), FAILURE, Infinity);
    replication.write(kind, `{"ids":[${id}],"embeddings":[[-2]],"metadatas":[{"k":"boom"}]}`);
    await replication.clock.pass(300, 10);
    expect(replication.ended).toEqual([]);
    await replication.replaceGateway();
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 3, outcome: 'quarantined' }]);
    expect(['a', 'b', 'c'].map(suspicion)).toEqual([null, null, null]);
  });

  test('leaves one copy in use when every node shows its effect at the same moment', async () => {
    await following('a', 'b', 'c');
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    for (const { fake } of replication.replicas) fake.plan(isWrite, FAILURE, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.clock.pass(300, 10);
    await replication.replaceGateway();
    await replication.caughtUp();
    expect(['a', 'b', 'c'].filter((id) => suspicion(id) === null)).not.toEqual([]);
  });

  test('leaves the only copy in use', async () => {
    await following('a');
    replication.replica('a').fake.plan(isWrite, FAILURE_WITH_EFFECT, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    expect([replication.ended, suspicion('a')]).toEqual([[{ lsn: 2, outcome: 'quarantined' }], null]);
  });
});

describe('entries after one that made the copy of the primary suspect', () => {
  test('reach one healthy copy before the other', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    expect(suspicion('a')).not.toBeNull();
    replication.replica('b').fake.plan(isWrite, 'hang');
    const lsn = replication.write('upsert', upsert('y', 2));
    await replication.until(() => replication.replica('b').fake.hanging > 0, 'the first copy has the call');
    await replication.clock.pass(2_000, 100);
    expect([executed('c'), replication.positions.appliedTo('c', SHARD) < lsn]).toEqual([['1'], true]);
    replication.replica('b').fake.release();
    await replication.caughtUp();
    expect(replication.content('c')).toBe(replication.content('b'));
  });
});

test('a refused create that cannot be read back takes one node out of use, and the others go on', async () => {
  await serving(['a', 'b', 'c']);
  const { fake } = replication.replica('a');
  const isCreate = ({ method, path }: FakeCall): boolean =>
    method === 'POST' && path.endsWith('/collections');
  fake.plan((call) => isCreate(call) && call.body.includes('pears'), FAILURE_WITH_EFFECT, Infinity);
  fake.plan(({ path }) => path.endsWith('/collections/pears'), FAILURE, Infinity);
  replication.create();
  replication.write('upsert', upsert('x', 1));
  await replication.caughtUp('b', 'c');
  expect(replication.content('b')).toBe(replication.content('c'));
});
