import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RegisteredGateway } from './gateway-store.ts';
import { ReachComparison } from './reach-comparison.ts';
import type { Term } from './term.ts';

const LEASE_MS = 10_000;
const gateway = (id: string, nodesReached: number, seenMsAgo = 0): RegisteredGateway => ({
  id,
  nodesReached,
  seenMsAgo,
  address: '',
  version: '',
  startedAt: new Date(0),
  number: 1,
  knows: 0,
});

let clock: ManualClock;
let reached: number;
let gateways: RegisteredGateway[];
let abstained: number[];
let over: AbortController;
beforeEach(() => {
  clock = new ManualClock();
  [reached, gateways, abstained] = [3, [gateway('self', 0), gateway('other', 3)], []];
  over = new AbortController();
  const comparison = new ReachComparison({
    gatewayId: 'self',
    nodesReached: () => reached,
    gateways: () => gateways,
    abstain: (forMs) => abstained.push(forMs),
    leaseMs: LEASE_MS,
    clock,
    logger: { warn: () => undefined },
  });
  void comparison.run({ signal: over.signal } as Term);
  return () => over.abort();
});

test('a leader that reaches as many nodes as the others keeps the lease', async () => {
  await clock.pass(60_000, 500);
  [reached, gateways] = [2, [gateway('other', 2), gateway('third', 1)]];
  await clock.pass(60_000, 500);
  expect(abstained).toEqual([]);
});

test('R18: a leader that reaches fewer nodes than another for 5 s gives up the lease', async () => {
  reached = 1;
  await clock.pass(4_000, 500);
  expect(abstained).toEqual([]);
  await clock.pass(2_000, 500);
  expect(abstained).toEqual([3 * LEASE_MS]);
});

test('a node that was unreachable for a moment does not count', async () => {
  for (let n = 0; n < 10; n++) {
    reached = 1;
    await clock.pass(4_000, 500);
    reached = 3;
    await clock.pass(1_000, 500);
  }
  expect(abstained).toEqual([]);
});

test('a gateway that has not reported lately does not count', async () => {
  gateways = [gateway('other', 3, LEASE_MS + 1)];
  reached = 0;
  await clock.pass(60_000, 500);
  expect(abstained).toEqual([]);
});
