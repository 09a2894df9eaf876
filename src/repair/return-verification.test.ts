import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Term } from '../coordination/term.ts';
import { ReturnVerification, type ReturnVerificationOptions } from './return-verification.ts';

const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };
const SHARDS = ['s1', 's2', 's3'];

let clock: ManualClock;
let verified: string[];
let serving: string[];
let notCompared: string[];
let uncompared: number;
let failing: boolean;
let node: { id: string; process: number };
/** Called before each verification of a shard. */
let onVerify: (shard: string, nodes: readonly string[]) => void | Promise<void>;
let returns: ReturnVerification;

beforeEach(() => {
  clock = new ManualClock();
  verified = [];
  serving = ['b', 'c'];
  notCompared = [];
  uncompared = 0;
  failing = false;
  node = { id: 'a', process: 0 };
  onVerify = () => undefined;
  const verify: ReturnVerificationOptions['verification']['verify'] = async (shard, nodes, { onPage }) => {
    await onVerify(shard, nodes);
    await onPage?.(10, 100);
    verified.push(`${shard} ${nodes.join('+')}`);
    return { records: 10, uncompared, suspects: [] };
  };
  returns = new ReturnVerification({
    verification: { verify },
    shardsOf: () => SHARDS,
    references: () => serving,
    onUncompared: (id) => notCompared.push(id),
    clock,
    logger: { info: () => undefined, warn: () => undefined },
  });
});

async function passed(limitMs = 60_000): Promise<boolean> {
  for (let ms = 0; ms < limitMs; ms += 500) {
    if (returns.hasPassed(node, TERM)) return true;
    await clock.pass(500, 500);
  }
  return false;
}

test('compares every shard of the node with one that serves, once per process', async () => {
  expect(returns.hasPassed(node, TERM)).toBe(false);
  expect(await passed()).toBe(true);
  expect(verified.sort()).toEqual(['s1 a+b', 's2 a+b', 's3 a+b']);
  expect(returns.hasPassed(node, TERM)).toBe(true);
  expect([verified.length, notCompared]).toEqual([3, []]);
  node.process += 1;
  expect(returns.hasPassed(node, TERM)).toBe(false);
  expect(await passed()).toBe(true);
  expect(verified).toHaveLength(6);
});

test('shows its progress while it runs', async () => {
  const blocked = Promise.withResolvers<void>();
  onVerify = (shard) => (shard === 's3' ? blocked.promise : undefined);
  returns.hasPassed(node, TERM);
  await clock.pass(500, 500);
  expect(returns.progress('a')).toMatchObject({ shards: 3, verified: 2, records: 20, bytes: 200 });
  blocked.resolve();
  expect(await passed()).toBe(true);
  expect(returns.progress('a')).toBeNull();
});

test('checks the node by itself when no node serves, and says so', async () => {
  serving = [];
  expect(await passed()).toBe(true);
  expect(verified.sort()).toEqual(['s1 a', 's2 a', 's3 a']);
  expect(notCompared).toEqual(['a']);
});

test('asks another node when one does not respond, and goes on by itself when none does', async () => {
  onVerify = (_shard, nodes) => {
    if (nodes.includes('b')) throw new NodeError('timeout', 'no response');
  };
  expect(await passed()).toBe(true);
  expect(verified.sort()).toEqual(['s1 a+c', 's2 a+c', 's3 a+c']);
  node.process += 1;
  verified = [];
  onVerify = (_shard, nodes) => {
    if (nodes.length > 1) throw new NodeError('timeout', 'no response');
  };
  expect(await passed()).toBe(true);
  expect(verified.sort()).toEqual(['s1 a', 's2 a', 's3 a']);
});

test('waits for a node that serves again soon', async () => {
  onVerify = (shard) => {
    if (shard === 's2') serving = [];
  };
  returns.hasPassed(node, TERM);
  await clock.pass(2_000, 500);
  expect(returns.hasPassed(node, TERM)).toBe(false);
  serving = ['b'];
  expect(await passed()).toBe(true);
  expect([verified.sort(), notCompared]).toEqual([['s1 a+b', 's2 a+b', 's3 a+b'], []]);
});

test.each<[string, () => void]>([
  ['the nodes that serve do not respond', () => (failing = true)],
  ['every node that serves is gone', () => (serving = [])],
  ['some records could not be compared', () => (uncompared = 1)],
])('says that the node is not compared when, of one shard, %s', async (_what, change) => {
  onVerify = (shard, nodes) => {
    if (shard === 's2') change();
    if ((failing || serving.length === 0) && nodes.length > 1) throw new NodeError('timeout', 'no response');
  };
  expect(await passed()).toBe(true);
  expect(notCompared).toEqual(['a']);
});

test('does not pass a process that was replaced while it was verified', async () => {
  const blocked = Promise.withResolvers<void>();
  onVerify = () => blocked.promise;
  returns.hasPassed(node, TERM);
  await clock.pass(500, 500);
  node.process += 1;
  onVerify = () => {
    throw new NodeError('timeout', 'no response');
  };
  blocked.resolve();
  await clock.pass(500, 500);
  expect(returns.hasPassed(node, TERM)).toBe(false);
});

test('verifies a shard again after a failure, in growing intervals, and no other one', async () => {
  const atMs: number[] = [];
  onVerify = (shard) => {
    if (shard !== 's2') return;
    atMs.push(clock.now());
    if (atMs.length < 5) throw new Error('PostgreSQL is away');
  };
  expect(await passed()).toBe(true);
  expect(verified.map((line) => line.slice(0, 2))).toEqual(['s1', 's3', 's2']);
  const pauses = atMs.slice(1).map((ms, index) => ms - (atMs[index] as number));
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000]);
});
