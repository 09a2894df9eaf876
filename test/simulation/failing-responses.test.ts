// Responses that say a node cannot apply an entry.

import { afterEach, describe, expect, test } from 'vitest';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import {
  FAILURE,
  FAILURE_WITH_EFFECT,
  REFUSAL,
  executed,
  following,
  isWrite,
  replication,
  scratchOn,
  suspicion,
  upsert,
  writing,
} from './scenario.ts';

afterEach(() => replication.stop());

describe('a failing response', () => {
  test('500 after the write was committed is retried, and the record is stored once', async () => {
    await following('a');
    const { fake, member } = replication.replica('a');
    fake.plan(isWrite, FAILURE_WITH_EFFECT);
    const lsn = replication.write('add', upsert('x', 1));
    await replication.until(() => member.lastError !== null, 'the response has come');
    expect(replication.replica('a').checkpoint).toBe(lsn - 1);
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x"]');
    expect(replication.ended).toEqual([]);
  });

  test('from a server whose log reader has ended takes the node down until it is restarted', async () => {
    await following('a');
    const { fake } = replication.replica('a');
    const { text } = fake.look('POST', COLLECTIONS, '{"name":"poison"}');
    const { id } = JSON.parse(text) as { id: string };
    const poison = '{"ids":["p"],"embeddings":[[1]],"metadatas":[{"chroma:document":5}]}';
    fake.look('POST', `${COLLECTIONS}/${id}/upsert`, poison);
    const lsn = replication.write('add', upsert('x', 1));
    await replication.clock.pass(5_000, 100);
    expect(replication.replica('a').checkpoint).toBe(lsn - 1);
    fake.kill();
    fake.look('DELETE', `${COLLECTIONS}/poison`);
    fake.start();
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x"]');
  });

  test('from one replica alone makes its shard suspect, and the others go on', async () => {
    await following('a', 'b', 'c');
    replication.replica('b').fake.plan(isWrite, REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect([suspicion('a'), suspicion('b'), suspicion('c')]).toEqual([
      null,
      expect.stringContaining('LSN 2'),
      null,
    ]);
    expect(replication.ended).toEqual([]);
    expect(executed('b')).toEqual([]);
    expect(replication.content('a')).toBe(replication.content('c'));
  });

  test('from the primary, and from another node in a scratch collection, quarantines the entry', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(writing('"1"'), REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect(executed('c')).toEqual(['2']);
    expect(new Set(['a', 'b', 'c'].map((id) => replication.content(id))).size).toBe(1);
    expect(['a', 'b', 'c'].map(suspicion)).toEqual([null, null, null]);
    for (const { fake } of replication.replicas) expect(scratchOn(fake)).toEqual([]);
  });

  test('from the primary alone makes its shard suspect, and the others apply the entry', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, REFUSAL, Infinity);
    const lsn = replication.write('upsert', upsert('x', 1));
    let isAcknowledged = false;
    const { signal } = new AbortController();
    const reached = replication.positions.reached({ lsn, shard: SHARD }, 'primary', signal);
    void reached.then(() => (isAcknowledged = true));
    await replication.caughtUp();
    expect(['a', 'b', 'c'].map((id) => suspicion(id) === null)).toEqual([false, true, true]);
    expect([replication.ended, isAcknowledged]).toEqual([[], true]);
    expect(replication.content('b')).toContain('"ids":["x"]');
  });

  test('while a node that is away may have applied the entry makes the others suspect', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, 'drop_after');
    for (const id of ['b', 'c']) replication.replica(id).fake.plan(isWrite, REFUSAL, Infinity);
    // In one call: neither is known to have ended the server.
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.until(() => executed('a').length > 0, 'the primary has applied it');
    replication.replica('a').fake.kill();
    await replication.caughtUp('b', 'c');
    expect([replication.ended, suspicion('b') !== null, suspicion('c') !== null]).toEqual([[], true, true]);
    replication.replica('a').fake.start();
    await replication.caughtUp();
    expect(suspicion('a')).toBeNull();
    expect(replication.content('a')).toContain('"ids":["x","y"]');
  });

  test('after the primary died of the call quarantines the entry, and the copy of the primary is read back', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, 'drop_after');
    for (const id of ['b', 'c']) replication.replica(id).fake.plan(writing('"1"'), REFUSAL, Infinity);
    const lsn = replication.write('upsert', upsert('x', 1));
    await replication.until(() => executed('a').length > 0, 'the primary has applied it');
    replication.replica('a').fake.kill();
    await replication.caughtUp('b', 'c');
    expect([replication.ended, suspicion('b'), suspicion('c')]).toEqual([
      [{ lsn, outcome: 'quarantined' }],
      null,
      null,
    ]);
    replication.replica('a').fake.start();
    await replication.caughtUp();
    expect(suspicion('a')).toBe(`may have applied LSN ${lsn}, which is quarantined`);
  });

  test('given once, and followed by a success, has no consequence', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(isWrite, REFUSAL, 1);
    replication.write('upsert', upsert('x', 1));
    await replication.caughtUp();
    expect([replication.ended, ...['a', 'b', 'c'].map(suspicion)]).toEqual([[], null, null, null]);
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('given five times by the only node quarantines the entry, and later writes are applied', async () => {
    await following('a');
    replication.replica('a').fake.plan(writing('"1"'), FAILURE, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect([executed('a'), suspicion('a')]).toEqual([['2'], null]);
  });

  test('500 with an effect, from every node, quarantines the entry and makes the copies that show it suspect', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b'])
      replication.replica(id).fake.plan(writing('"1"'), FAILURE_WITH_EFFECT, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.caughtUp();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    // Node b was only asked for a second opinion: its copy has not been touched.
    expect(['a', 'b', 'c'].map((id) => suspicion(id) === null)).toEqual([false, true, true]);
    expect(replication.content('b')).toBe(replication.content('c'));
  });
});
