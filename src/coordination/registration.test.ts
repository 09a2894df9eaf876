// A gateway that starts beside others serves once each of them has recorded that it takes the new one into account.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RegisteredGateway } from './gateway-store.ts';
import { Knowledge } from './knowledge.ts';
import { Registration } from './registration.ts';

const LEASE_MS = 10_000;

let clock: ManualClock;
let rows: Map<string, RegisteredGateway>;
let stop: AbortController;
beforeEach(() => {
  clock = new ManualClock();
  rows = new Map();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await clock.pass(10);
});

interface Gateway {
  readonly knowledge: Knowledge;
  /** Reads the state as the cluster feed does. */
  readonly poll: () => void;
}

function gateway(id: string): Gateway {
  const knowledge = new Knowledge(clock, LEASE_MS);
  const others = (): RegisteredGateway[] => [...rows.values()].filter((row) => row.id !== id);
  const registration = new Registration({
    store: {
      register: async (self) => {
        const number = rows.size + 1;
        const row = { ...self, startedAt: new Date(0), seenMsAgo: 0, nodesReached: 0, number, knows: 0 };
        rows.set(id, row);
        return { others: others().length, number };
      },
      seen: async (_id, changes) => {
        rows.set(id, { ...rows.get(id)!, ...changes });
        return true;
      },
      leave: async () => void rows.delete(id),
      list: async () => [...rows.values()],
    },
    knowledge,
    description: () => ({ id, address: '', version: '' }),
    nodesReached: () => 1,
    leaseMs: LEASE_MS,
    clock,
    logger: { warn: () => undefined },
  });
  void registration.run(stop.signal);
  const poll = (): void => {
    const newestGateway = Math.max(0, ...others().map(({ number }) => number ?? 0));
    knowledge.loaded(clock.monotonic(), { otherGateways: others().length, newestGateway });
  };
  return { knowledge, poll };
}

test('the only gateway serves at once', async () => {
  const first = gateway('first');
  await clock.pass(10);
  first.poll();
  expect(first.knowledge.refusal()).toBeNull();
});

test('the second serves as soon as the first has learnt of it', async () => {
  const first = gateway('first');
  await clock.pass(10);
  first.poll();
  const second = gateway('second');
  await clock.pass(1_000);
  second.poll();
  expect(second.knowledge.refusal()).not.toBeNull();
  first.poll();
  expect(first.knowledge.hasOthers).toBe(true);
  await clock.pass(300);
  expect(second.knowledge.refusal()).toBeNull();
});

test('the second serves after a lease beside one that says nothing: of an earlier release, or dead', async () => {
  const old = { id: 'old', address: '', version: '', startedAt: new Date(0), seenMsAgo: 0, nodesReached: 1 };
  rows.set('old', { ...old, number: null, knows: 0 });
  const second = gateway('second');
  for (let passed = 0; passed < LEASE_MS; passed += 100) {
    await clock.pass(100);
    second.poll();
    expect(second.knowledge.refusal()).not.toBeNull();
  }
  await clock.pass(LEASE_MS / 5);
  second.poll();
  expect(second.knowledge.refusal()).toBeNull();
});
