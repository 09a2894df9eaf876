// Calls that a node does not respond to.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SETTLE_MS } from '../support/memory-replication.ts';
import {
  executed,
  following,
  isReserved,
  isSuspect,
  isWrite,
  replication,
  upsert,
  writing,
} from './scenario.ts';

afterEach(() => replication.stop());

describe('a call without a response', () => {
  beforeEach(() => following('a'));

  test('is repeated, and the next call waits until a delayed duplicate had time to be executed', async () => {
    const { fake } = replication.replica('a');
    fake.plan(writing('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.until(() => executed('a').length === 1, 'the call was repeated');
    await replication.clock.pass(SETTLE_MS - 100, 10);
    expect(executed('a')).toEqual(['1']);
    fake.runLate();
    await replication.caughtUp();
    expect(executed('a')).toEqual(['1', '1', '2']);
    expect(replication.content('a')).toContain('"documents":["2"]');
  });

  test('may be undone by a duplicate that is executed after the settling time, and the shard becomes suspect', async () => {
    const { fake } = replication.replica('a');
    fake.plan(writing('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.caughtUp();
    fake.runLate();
    expect(replication.content('a')).toContain('"documents":["1"]');
    await replication.until(() => isSuspect('a'), 'the difference is found');
  });

  test('is looked for in the content later, by reads that may be slow without the node counting as silent', async () => {
    const { fake, member } = replication.replica('a');
    let reads = 0;
    const states = new Set<string>();
    fake.choose = ({ path, mutates }) => {
      if (mutates || !path.endsWith('/get') || isReserved({ path })) return null;
      reads += 1;
      return { slowMs: 8_000 };
    };
    fake.plan(writing('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    await replication.until(() => reads > 0, 'the content is read');
    for (let passed = 0; passed < 20_000; passed += 500) {
      await replication.clock.pass(500, 100);
      states.add(member.state);
    }
    expect([...states]).toEqual(['serving']);
  });

  test('is repeated without harm when it was executed', async () => {
    replication.replica('a').fake.plan(isWrite, 'drop_after');
    replication.write('add', upsert('x', 1));
    replication.write('add', upsert('y', 2));
    await replication.caughtUp();
    expect(replication.content('a')).toContain('"ids":["x","y"]');
  });

  test('is followed at once by the next when the process was gone in between', async () => {
    const { fake } = replication.replica('a');
    fake.plan(writing('"1"'), 'hang');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.until(() => fake.hanging > 0, 'the call is in flight');
    fake.kill();
    await replication.clock.pass(100, 10);
    fake.start();
    const since = replication.clock.monotonic();
    await replication.caughtUp();
    expect(replication.clock.monotonic() - since).toBeLessThan(SETTLE_MS);
    expect(executed('a')).toEqual(['1', '2']);
  });

  test('has no second copy while its connection lives', async () => {
    const { fake, applier } = replication.replica('a');
    fake.plan(isWrite, 'hang');
    replication.write('upsert', upsert('x', 1));
    await replication.clock.pass(20_000, 500);
    expect([executed('a'), applier.callsInFlight]).toEqual([[], 1]);
    fake.release();
    await replication.caughtUp();
    expect(executed('a')).toEqual(['1']);
  });
});
