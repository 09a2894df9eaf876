import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Term } from '../coordination/term.ts';
import { NodeRebuild, type NodeRebuildOptions } from './node-rebuild.ts';

const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

let clock: ManualClock;
let names: Record<string, string>;
let suspects: Set<string>;
/** Shards that another node has a healthy copy of. */
let elsewhere: Set<string>;
let failures: number;
let term: Term | null;
let marked: string[];
let refusal: string | null;
let rebuild: NodeRebuild;

beforeEach(() => {
  clock = new ManualClock();
  names = { s1: 'notes', s2: 'pears' };
  suspects = new Set();
  elsewhere = new Set(['s1', 's2']);
  failures = 0;
  term = TERM;
  marked = [];
  refusal = null;
  const catalog = {
    shards: () => Object.keys(names),
    collectionOfShard: (shard: string) => ({ id: `id-${shard}`, name: names[shard] }),
    isHealthy: (node: string, shard: string) => (node === 'a' ? !suspects.has(shard) : elsewhere.has(shard)),
    isSuspect: (_node: string, shard: string) => suspects.has(shard),
    physical: () => ({}),
  } as unknown as NodeRebuildOptions['catalog'];
  rebuild = new NodeRebuild({
    catalog,
    rebuilds: {
      get status() {
        const [shard] = suspects;
        const waiting = { node: 'a', shard: shard ?? '', failures, reason: 'the donor is away' };
        return { current: null, healed: 0, failed: failures, waiting: failures === 0 ? [] : [waiting] };
      },
    },
    nodes: () => ['a', 'b'],
    refusal: () => refusal,
    markSuspect: async (_node, shard) => {
      marked.push(shard);
      suspects.add(shard);
    },
    term: () => term,
    clock,
  });
});

async function run(collection: string | null = null): Promise<unknown> {
  const ended = new AbortController();
  const task = { report: () => undefined, signal: new AbortController().signal };
  const running = rebuild.run('a', rebuild.shardsOf('a', collection), task);
  running.catch(() => undefined).finally(() => ended.abort());
  // Each copy is healed after a second.
  for (let turn = 1; !ended.signal.aborted && turn < 100; turn++) {
    await clock.pass(200, 200);
    if (turn % 5 === 0 && failures === 0) suspects.clear();
  }
  return running;
}

test('has every copy rebuilt, one after the other', async () => {
  expect(await run()).toEqual({ rebuilt: 2, onlyHere: [] });
  expect(marked).toEqual(['s1', 's2']);
});

test('takes one collection by its id or its name', async () => {
  expect(await run('pears')).toEqual({ rebuilt: 1, onlyHere: [] });
  await run('id-s1');
  expect(marked).toEqual(['s2', 's1']);
});

test('leaves a copy that no other node has', async () => {
  elsewhere.delete('s1');
  expect(await run()).toEqual({ rebuilt: 1, onlyHere: ['notes'] });
  expect(marked).toEqual(['s2']);
});

describe('is refused', () => {
  test('for a collection that the node lacks, or a name that two have', async () => {
    await expect(run('plums')).rejects.toThrow('has no collection "plums"');
    names = { s1: 'notes', s2: 'notes' };
    await expect(run('notes')).rejects.toThrow('has 2 collections "notes"');
    expect(marked).toEqual([]);
  });

  test('in a state in which the node does not follow', async () => {
    refusal = 'Node "a" is down.';
    await expect(run()).rejects.toThrow('Node "a" is down. Nothing was changed.');
  });

  test('while this gateway does not lead', async () => {
    term = null;
    await expect(run()).rejects.toThrow('does not lead');
  });
});

test('ends with the reason when a copy keeps failing', async () => {
  failures = 4;
  await expect(run()).rejects.toThrow('the donor is away');
});
