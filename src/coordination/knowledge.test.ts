import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Knowledge } from './knowledge.ts';

const LEASE_MS = 1_000;
let clock: ManualClock;
let knowledge: Knowledge;
beforeEach(() => {
  clock = new ManualClock();
  knowledge = new Knowledge(clock, LEASE_MS);
});

const loaded = (others: number, newestGateway = others): void =>
  knowledge.loaded(clock.monotonic(), { otherGateways: others, newestGateway });

/** Registered beside so many others, with the state loaded. */
function begin(others: number): void {
  knowledge.registered(clock.monotonic(), others);
  loaded(others);
}

/** Time in which PostgreSQL responds. */
async function passInContact(ms: number, others: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += LEASE_MS / 10) {
    await clock.pass(LEASE_MS / 10);
    knowledge.seen(clock.monotonic());
    loaded(others);
  }
}

const refuses = (seesAnyState = false): boolean => knowledge.refusal({ seesAnyState }) !== null;

describe('a gateway that has just started', () => {
  test('serves nothing before it has read the state', () => {
    expect([refuses(), refuses(true)]).toEqual([true, true]);
    knowledge.registered(clock.monotonic(), 0);
    expect(refuses()).toBe(true);
    knowledge.failed();
    expect(refuses(true)).toBe(true);
  });

  test('serves at once when no other is registered', () => {
    begin(0);
    expect([refuses(), knowledge.isCurrent, knowledge.hasOthers]).toEqual([false, true, false]);
  });

  test('waits until every other has learnt of it, or serves no longer', async () => {
    begin(1);
    expect(refuses()).toBe(true);
    await passInContact(LEASE_MS, 1);
    expect(refuses()).toBe(true);
    await passInContact(LEASE_MS / 5, 1);
    expect([refuses(), knowledge.hasOthers]).toEqual([false, true]);
  });
});

test('a gateway that starts beside others serves once they take it into account', async () => {
  begin(1);
  expect(knowledge.isAwaitingOthers).toBe(true);
  knowledge.knownToOthers();
  expect([refuses(), knowledge.isAwaitingOthers]).toEqual([false, false]);
});

test('notices each gateway that registers', async () => {
  let learnt = 0;
  const notice = (): void => {
    learnt += 1;
    void knowledge.learnt.wait(new AbortController().signal).then(notice);
  };
  void knowledge.learnt.wait(new AbortController().signal).then(notice);
  for (const newest of [1, 1, 3, 3]) {
    loaded(1, newest);
    await clock.pass(1);
  }
  expect([learnt, knowledge.newestGateway]).toEqual([2, 3]);
});

describe('without PostgreSQL', () => {
  test('the only gateway goes on with reads, and says that it is outdated', async () => {
    begin(0);
    await clock.pass(LEASE_MS / 2);
    knowledge.failed();
    expect([refuses(), knowledge.isOutdated]).toEqual([false, false]);
    await clock.pass(3 * LEASE_MS);
    expect([refuses(), knowledge.isOutdated]).toEqual([false, true]);
  });

  test('the only gateway goes on with reads until it is registered again', async () => {
    begin(0);
    await clock.pass(LEASE_MS);
    knowledge.failed();
    await clock.pass(5 * LEASE_MS);
    loaded(0);
    expect([refuses(), knowledge.isOutdated]).toEqual([false, true]);
    knowledge.registered(clock.monotonic(), 0);
    expect([refuses(), knowledge.isOutdated]).toEqual([false, false]);
  });

  test('R17: a gateway is not the only one any more once a node names the term of another', async () => {
    begin(0);
    await clock.pass(3 * LEASE_MS);
    knowledge.failed();
    expect(refuses()).toBe(false);
    knowledge.superseded();
    expect([refuses(), refuses(true), knowledge.hasOthers]).toEqual([true, false, true]);
    begin(0);
    expect([refuses(), knowledge.hasOthers]).toEqual([false, false]);
  });

  test('one of several goes on with reads that may see any state', async () => {
    begin(1);
    await passInContact(2 * LEASE_MS, 1);
    knowledge.failed();
    await clock.pass(LEASE_MS + 1);
    expect([refuses(), refuses(true), knowledge.isOutdated]).toEqual([true, false, true]);
  });

  test('one of several goes on with reads that may see any state while it registers again', async () => {
    begin(1);
    await passInContact(2 * LEASE_MS, 1);
    knowledge.failed();
    await clock.pass(5 * LEASE_MS);
    begin(1);
    expect([refuses(), refuses(true)]).toEqual([true, false]);
  });

  test('knowledge that is older than a lease is not used before PostgreSQL was asked: the process was frozen', async () => {
    begin(0);
    clock.freeze(5 * LEASE_MS);
    expect(refuses()).toBe(true);
    knowledge.seen(clock.monotonic());
    loaded(1);
    expect([refuses(), knowledge.hasOthers]).toEqual([false, true]);
  });

  test('a gateway that others no longer count serves nothing, however new its knowledge', async () => {
    begin(1);
    await passInContact(2 * LEASE_MS, 1);
    for (let passed = 0; passed < 3; passed++) {
      await clock.pass(LEASE_MS);
      loaded(1);
    }
    expect(knowledge.isCurrent).toBe(false);
    knowledge.registered(clock.monotonic(), 1);
    loaded(1);
    expect(refuses()).toBe(true);
  });
});
