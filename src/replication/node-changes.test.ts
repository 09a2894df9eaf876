import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Term } from '../coordination/term.ts';
import type { NodeState } from '../nodes/node-state.ts';
import type { ProgressReport } from '../util/progress.ts';
import type { Follower } from './follower.ts';
import { NodeChanges } from './node-changes.ts';

interface Cluster {
  readonly changes: NodeChanges;
  readonly clock: ManualClock;
  readonly applied: Map<string, number>;
  readonly states: Map<string, NodeState>;
  readonly asked: (string | null)[];
  readonly reads: { size: number };
  readonly recorded: string[];
  /** Collections of which no other node has a healthy copy. */
  onlyCopies: string[];
  primary: string;
  leads: boolean;
}

/** Nodes a (primary, LSN 100 applied) and b (LSN 40); an election follows a wish at once while `elects`. */
function build({ elects = true } = {}): Cluster {
  const clock = new ManualClock();
  const applied = new Map([
    ['a', 100],
    ['b', 40],
  ]);
  const states = new Map<string, NodeState>([
    ['a', 'serving'],
    ['b', 'serving'],
  ]);
  const reads = { size: 0 };
  const recorded: string[] = [];
  const asked: (string | null)[] = [];
  const followerOf = (id: string) => ({
    member: {
      id,
      url: `http://${id}`,
      reason: null,
      lastError: null,
      get state() {
        return states.get(id);
      },
    },
    readsInFlight: reads,
  });
  const cluster = {
    clock,
    applied,
    states,
    asked,
    recorded,
    reads,
    onlyCopies: [] as string[],
    primary: 'a',
    leads: true,
  };
  const changes = new NodeChanges({
    leader: {
      get term() {
        return cluster.leads ? ({ epoch: 1 } as Term) : null;
      },
      get primary() {
        return { node: cluster.primary, generation: 1 };
      },
      promote(node) {
        asked.push(node);
        if (elects && node !== null) cluster.primary = node;
      },
    },
    followers: {
      all: () =>
        [...states.keys()].map(followerOf) as unknown as (Follower & { readsInFlight: typeof reads })[],
    },
    store: {
      add: async ({ id }) => {
        recorded.push(`add ${id}`);
        states.set(id, 'joining');
        return true;
      },
      drain: async (id, drained) => {
        recorded.push(`${drained ? 'drain' : 'undrain'} ${id}`);
        states.set(id, drained ? 'drained' : 'catching_up');
        return true;
      },
      remove: async (_epoch, id) => {
        recorded.push(`remove ${id}`);
        return states.delete(id);
      },
    },
    refresh: async () => undefined,
    refusal: async (id) => (id === 'full' ? 'The server holds data.' : null),
    onlyCopies: () => cluster.onlyCopies,
    events: { record: () => undefined },
    positions: { applied: (id) => applied.get(id) ?? 0 },
    logBuffer: { head: 100 },
    clock,
  });
  return Object.assign(cluster, { changes });
}

const running = (): AbortSignal => new AbortController().signal;

describe('a promotion', () => {
  test('waits until the node has applied what the log held', async () => {
    const cluster = build();
    const reports: ProgressReport[] = [];
    const promoted = cluster.changes.promote('b', {
      report: (report) => void reports.push(report),
      signal: running(),
    });
    await cluster.clock.pass(500);
    expect(cluster.asked).toEqual([]);
    cluster.applied.set('b', 100);
    await cluster.clock.pass(100);
    expect(await promoted).toEqual({ before: 'a' });
    expect(cluster.primary).toBe('b');
    expect(reports[0]).toEqual({ phase: 'applying the log', done: 0, total: 60, unit: 'entries' });
    expect(reports.at(-1)?.done).toBe(60);
  });

  test('is refused when the node stops serving meanwhile', async () => {
    const cluster = build();
    const promoted = cluster.changes.promote('b', { report: () => undefined, signal: running() });
    const refused = expect(promoted).rejects.toThrow('only a serving node');
    await cluster.clock.pass(200);
    cluster.states.set('b', 'down');
    await cluster.clock.pass(100);
    await refused;
    expect([cluster.primary, cluster.asked]).toEqual(['a', []]);
  });

  test('is taken back when the node is not elected in time', async () => {
    const cluster = build({ elects: false });
    cluster.applied.set('b', 100);
    const promoted = cluster.changes.promote('b', { report: () => undefined, signal: running() });
    const refused = expect(promoted).rejects.toThrow('not elected; the primary is still a');
    await cluster.clock.pass(61_000, 1_000);
    await refused;
    expect(cluster.asked).toEqual(['b', null]);
  });

  test('ends with its signal', async () => {
    const cluster = build();
    const stop = new AbortController();
    const promoted = cluster.changes.promote('b', { report: () => undefined, signal: stop.signal });
    const ended = expect(promoted).rejects.toThrow('abort');
    stop.abort();
    await cluster.clock.pass(100);
    await ended;
  });
});

test('a change is refused on a gateway that does not lead, and for an unknown node', () => {
  const cluster = build();
  expect(() => cluster.changes.require('x')).toThrow('There is no node "x"');
  cluster.leads = false;
  expect(() => cluster.changes.require('b')).toThrow('does not lead');
});

describe('a drain', () => {
  test('of the primary moves the primary first, and waits for reads in flight', async () => {
    const cluster = build();
    cluster.applied.set('b', 100);
    cluster.reads.size = 2;
    const drained = cluster.changes.drain('a', { report: () => undefined, signal: running() });
    let isOver = false;
    void drained.then(() => (isOver = true));
    await cluster.clock.pass(500);
    expect([cluster.asked, cluster.recorded, isOver]).toEqual([['b'], ['drain a'], false]);
    cluster.reads.size = 0;
    await cluster.clock.pass(100);
    expect(await drained).toEqual({ primary: 'b' });
  });

  test('is refused for the last node that serves', async () => {
    const cluster = build();
    cluster.states.set('b', 'down');
    await expect(cluster.changes.drain('a', { report: () => undefined, signal: running() })).rejects.toThrow(
      'No other node serves',
    );
    expect(cluster.recorded).toEqual([]);
  });
});

describe('a removal', () => {
  test('moves the primary away before the node leaves', async () => {
    const cluster = build();
    cluster.applied.set('b', 100);
    const removed = cluster.changes.remove('a', { report: () => undefined, signal: running() });
    await cluster.clock.pass(200);
    expect(await removed).toEqual({ primary: 'b' });
    expect([cluster.asked, cluster.recorded]).toEqual([['b'], ['remove a']]);
  });

  test('is refused for a node with the only healthy copy of a collection', async () => {
    const cluster = build();
    cluster.onlyCopies = ['t/d/kept'];
    await expect(cluster.changes.remove('b', { report: () => undefined, signal: running() })).rejects.toThrow(
      'the only healthy copy of t/d/kept',
    );
    expect(cluster.recorded).toEqual([]);
  });
});

describe('an addition', () => {
  test('waits until the node serves, also when it is in the list already', async () => {
    const cluster = build();
    const reports: ProgressReport[] = [];
    const task = { report: (report: ProgressReport) => void reports.push(report), signal: running() };
    const added = cluster.changes.add('c', 'http://c', task);
    await cluster.clock.pass(200);
    cluster.applied.set('c', 60);
    cluster.states.set('c', 'catching_up');
    await cluster.clock.pass(100);
    const again = cluster.changes.add('c', 'http://c', task);
    cluster.states.set('c', 'serving');
    await cluster.clock.pass(100);
    await Promise.all([added, again]);
    expect(cluster.recorded).toEqual(['add c']);
    expect(reports).toContainEqual({ phase: 'catching_up', done: 60, total: 100, unit: 'entries' });
  });

  test('is refused for a server that holds data, for another address, and fails for a fenced node', async () => {
    const cluster = build();
    const task = { report: () => undefined, signal: running() };
    await expect(cluster.changes.add('full', 'http://full', task)).rejects.toThrow('holds data');
    await expect(cluster.changes.add('b', 'http://elsewhere', task)).rejects.toThrow('another address');
    expect(cluster.recorded).toEqual([]);
    cluster.states.set('c', 'fenced');
    await expect(cluster.changes.add('c', 'http://c', task)).rejects.toThrow('"c" is fenced');
  });
});
