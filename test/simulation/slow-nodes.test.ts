// Nodes that work on a call for minutes, or hang on one, and respond to nothing else meanwhile.

import { afterEach, describe, expect, test } from 'vitest';
import type { BuiltNode } from '../../src/app/nodes.ts';
import type { FakeCall } from '../support/fake-chroma/node.ts';
import { SHARD } from '../support/memory-replication.ts';
import {
  executed,
  FAILURE,
  following,
  isSuspect,
  isWrite,
  replication,
  serving,
  upsert,
  writing,
} from './scenario.ts';

/** Shorter than the bound of such a call. */
const CALL_MS = 60_000;

afterEach(() => replication.stop());

/** The node works on one write at a time, for `msOf` it, and responds to nothing else until that is done. */
function blockedByWrites(id: string, msOf: (call: FakeCall) => number): void {
  const { clock } = replication;
  let freeAtMs = 0;
  replication.replica(id).fake.choose = (call) => {
    const now = clock.monotonic();
    if (isWrite(call)) freeAtMs = Math.max(freeAtMs, now) + msOf(call);
    return freeAtMs > now ? { slowMs: freeAtMs - now } : null;
  };
}

describe('a call of three minutes, sent in parts', () => {
  const RECORDS = 15_000;
  const MS_PER_RECORD = 12;

  /** Writes it to a cluster whose first node is slow; returns what was primary, and the states of that node. */
  async function observed(
    alter?: (node: BuiltNode) => void,
  ): Promise<{ primaries: string[]; states: string[] }> {
    await serving(['a', 'b', 'c'], alter === undefined ? {} : { alter });
    replication.create();
    await replication.caughtUp();
    blockedByWrites('a', ({ body }) => (JSON.parse(body) as { ids: string[] }).ids.length * MS_PER_RECORD);
    const primaries = new Set<string>();
    const states = new Set<string>();
    const { member } = replication.replica('a');
    const ids = Array.from({ length: RECORDS }, (_, n) => `r${n}`);
    const lsn = replication.write('add', JSON.stringify({ ids, embeddings: ids.map(() => [1]) }));
    const startedMs = replication.clock.monotonic();
    const isApplied = (): boolean => {
      primaries.add(replication.primary!);
      states.add(member.state);
      return replication.replica('a').checkpoint === lsn;
    };
    await replication.until(isApplied, 'the slow node has applied the call', {
      limitMs: 900_000,
      stepMs: 100,
    });
    expect(replication.clock.monotonic() - startedMs).toBeGreaterThanOrEqual(RECORDS * MS_PER_RECORD);
    return { primaries: [...primaries], states: [...states] };
  }

  test('keeps the primary, which is busy and not down', async () => {
    const { primaries, states } = await observed();
    expect(primaries).toEqual(['a']);
    expect(states.toSorted()).toEqual(['busy', 'serving']);
    expect(['a', 'b', 'c'].some(isSuspect)).toBe(false);
  });

  test('would lose the primary if silence were never explained by a call', async () => {
    const takesBusyForDead = ({ workload }: BuiltNode): void =>
      void Object.defineProperty(workload, 'explainsSilence', { value: false });
    const { primaries, states } = await observed(takesBusyForDead);
    expect(primaries.length).toBeGreaterThan(1);
    expect(states).toContain('down');
  });
});

test('nodes serve a gateway that starts amid a call of minutes, before that call is over', async () => {
  await following('a', 'b', 'c');
  for (const { fake } of replication.replicas)
    fake.choose = (call) => (isWrite(call) ? { slowMs: CALL_MS } : null);
  const lsn = replication.write('upsert', upsert('slow', 1));
  await replication.clock.pass(5_000, 100);
  await replication.replaceGateway();
  const checkpoints = replication.replicas.map(({ checkpoint }) => checkpoint);
  expect(Math.max(...checkpoints)).toBeLessThan(lsn);
  expect(replication.positions.applied('a')).toBeLessThan(lsn);
});

describe('a primary that hangs on a call', () => {
  const HANGS_MS = 40_000;

  test('is replaced within seconds, and its late response counts', async () => {
    await following('a', 'b', 'c');
    blockedByWrites('a', () => HANGS_MS);
    const startedMs = replication.clock.monotonic();
    const lsn = replication.write('upsert', upsert('x', 1));
    let isAcknowledged = false;
    const { signal } = new AbortController();
    const reached = replication.positions.reached({ lsn, shard: SHARD }, 'primary', signal);
    void reached.then(() => (isAcknowledged = true));
    await replication.until(() => isAcknowledged, 'another primary has applied the write');
    expect(replication.primary).not.toBe('a');
    expect(replication.clock.monotonic() - startedMs).toBeLessThan(HANGS_MS / 2);
    const hasApplied = (): boolean => replication.positions.hasApplied('a', lsn, SHARD);
    expect([hasApplied(), executed('a')]).toEqual([false, []]);

    await replication.until(hasApplied, 'the late response has come');
    expect([executed('a'), replication.replica('a').checkpoint]).toEqual([['1'], lsn - 1]);
    replication.replica('a').fake.choose = () => null;
    await replication.caughtUp();
    expect([replication.ended, ...['a', 'b', 'c'].map(isSuspect)]).toEqual([[], false, false, false]);
    expect(replication.content('a')).toBe(replication.content('b'));
  });
});

describe('a response that arrives late', () => {
  /** What happens before the response of the primary arrives. */
  const changes: Readonly<Record<string, () => Promise<void>>> = {
    'after the node became busy': () =>
      replication.until(() => replication.replica('a').member.state === 'busy', 'the node is busy'),
    'after the node went down': () =>
      replication.until(() => replication.replica('a').member.state === 'down', 'the node is down'),
    'after another primary was elected': () =>
      replication.until(() => replication.primary !== 'a', 'another primary is elected'),
    'after a replica applied the entry': () =>
      replication.until(() => executed('b').length > 0, 'b has applied the entry'),
    async 'after the term ended'() {
      replication.storage.endTerm();
      await replication.clock.pass(1_000, 10);
    },
    async 'after the next term began'() {
      replication.storage.endTerm();
      await replication.clock.pass(8_000, 10);
    },
    async 'after its connections ended'() {
      replication.replica('a').fake.cut();
      await replication.clock.pass(100, 10);
    },
  };

  test.each(Object.entries(changes))('%s: all copies are equal, and none is suspect', async (_, change) => {
    await following('a', 'b', 'c');
    const { fake } = replication.replica('a');
    let isHanging = true;
    let isBegun = false;
    fake.choose = (call) => {
      isBegun ||= isWrite(call);
      return isBegun && isHanging ? 'hang' : null;
    };
    replication.write('upsert', upsert('x', 1));
    await replication.until(() => isBegun, 'the call is in flight');
    await change();
    isHanging = false;
    fake.release();
    fake.runLate();
    replication.write('upsert', upsert('x', 2));
    await replication.caughtUp();
    expect([replication.ended, ...['a', 'b', 'c'].map(isSuspect)]).toEqual([[], false, false, false]);
    expect(replication.content('a')).toContain('"documents":["2"]');
    for (const id of ['b', 'c']) expect(replication.content(id)).toBe(replication.content('a'));
  });
});

describe('an entry that every node fails', () => {
  /** What has ended, and what was executed, two minutes after the entry and one that follows it. */
  async function afterTwoMinutes(config: object): Promise<unknown[]> {
    await serving(['a', 'b'], { config });
    replication.create();
    await replication.caughtUp();
    for (const { fake } of replication.replicas) fake.plan(writing('"1"'), FAILURE, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.clock.pass(120_000, 100);
    return [replication.ended, executed('a'), executed('b')];
  }

  test('ends within its limits, and the entry after it is applied', async () => {
    expect(await afterTwoMinutes({})).toEqual([[{ lsn: 2, outcome: 'quarantined' }], ['2'], ['2']]);
  });

  test('would block the log if it were retried without limit', async () => {
    const unlimited = { ENTRY_ATTEMPTS: Infinity, ENTRY_TIMEOUT_MS: Infinity };
    expect(await afterTwoMinutes(unlimited)).toEqual([[], [], []]);
  });
});
