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
  const followers = [...states.keys()].map((id) => ({
    member: {
      id,
      get state() {
        return states.get(id);
      },
    },
  }));
  const asked: (string | null)[] = [];
  const cluster = { clock, applied, states, asked, primary: 'a', leads: true };
  const changes = new NodeChanges({
    leader: {
      get term() {
        return cluster.leads ? ({} as Term) : null;
      },
      get primary() {
        return { node: cluster.primary, generation: 1 };
      },
      promote(node) {
        asked.push(node);
        if (elects && node !== null) cluster.primary = node;
      },
    },
    followers: { all: () => followers as unknown as Follower[] },
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
    const promoted = cluster.changes.promote('b', (report) => reports.push(report), running());
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
    const promoted = cluster.changes.promote('b', () => undefined, running());
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
    const promoted = cluster.changes.promote('b', () => undefined, running());
    const refused = expect(promoted).rejects.toThrow('not elected; the primary is still a');
    await cluster.clock.pass(61_000, 1_000);
    await refused;
    expect(cluster.asked).toEqual(['b', null]);
  });

  test('ends with its signal', async () => {
    const cluster = build();
    const stop = new AbortController();
    const promoted = cluster.changes.promote('b', () => undefined, stop.signal);
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
