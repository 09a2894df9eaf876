import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClusterView } from '../../test/support/fake-cluster-view.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import { plainRanking } from '../../test/support/read-ranking.ts';
import { servingNode } from '../../test/support/serving-node.ts';
import { NodeSelection, type ReadCandidate, type ReadRequirements } from './node-selection.ts';
import { ReadHealth } from './read-health.ts';

const SHARD = 'shard';

let nodes: ReadCandidate[];
let view: FakeClusterView;
/** The shard's id on each node that has a copy. */
let copies: Map<string, string>;
let selection: NodeSelection;
let clock: ManualClock;
let health: ReadHealth;

beforeEach(() => {
  view = new FakeClusterView();
  view.primaryNode = 'a';
  clock = new ManualClock();
  health = new ReadHealth({ clock, logger: { info: () => undefined, warn: () => undefined } });
  copies = new Map();
  nodes = ['a', 'b', 'c'].map((id) => serving(id));
  selection = new NodeSelection({
    nodes: () => nodes,
    view,
    physicalId: (node) => copies.get(node) ?? null,
    ranking: plainRanking(health),
  });
});

/** A node that serves, has a copy of the shard, and has applied LSN 10. */
function serving(id: string): ReadCandidate {
  const member = servingNode(id, clock);
  copies.set(id, `${id}'s`);
  view.apply(id, 10);
  return { member, client: {} as NodeClient, readsInFlight: new ReadsInFlight(clock) };
}

const requirements = (more: Partial<ReadRequirements> = {}): ReadRequirements => ({
  shard: SHARD,
  floor: 0,
  sticky: false,
  ...more,
});
const selected = (more: Partial<ReadRequirements> = {}): string | null =>
  selection.selectNow(requirements(more))?.node.member.id ?? null;
const node = (id: string): ReadCandidate => nodes.find(({ member }) => member.id === id)!;
const setReadsInFlight = (id: string, count: number): void => {
  for (let n = 0; n < count; n++) node(id).readsInFlight.begin(new AbortController());
};

describe('a read is sent', () => {
  test('to each node in turn when their load is equal', () => {
    expect(new Set([selected(), selected(), selected()])).toEqual(new Set(['a', 'b', 'c']));
  });

  test('to the node with the fewest reads in flight', () => {
    setReadsInFlight('a', 2);
    setReadsInFlight('b', 1);
    setReadsInFlight('c', 2);
    expect([selected(), selected(), selected()]).toEqual(['b', 'b', 'b']);
  });

  test('to a busy node only when no other node is eligible', () => {
    node('a').member.on('occupied', '');
    node('b').member.on('occupied', '');
    setReadsInFlight('c', 9);
    expect([selected(), selected(), selected()]).toEqual(['c', 'c', 'c']);
    node('c').member.on('failed', '');
    setReadsInFlight('a', 1);
    expect([selected(), selected()]).toEqual(['b', 'b']);
  });

  test('to a node whose circuit is open only when no other node is eligible', () => {
    for (let n = 0; n < 5; n++) health.failed('b');
    expect(new Set([selected(), selected(), selected()])).toEqual(new Set(['a', 'c']));
    for (const id of ['a', 'c']) node(id).member.on('failed', '');
    expect(selected()).toBe('b');
  });

  test('to another node than the primary when its circuit is open, even when sticky', () => {
    for (let n = 0; n < 5; n++) health.failed('a');
    expect(selected({ sticky: true })).toBe('b');
  });

  test('to the busy primary when sticky: another node may return another order', () => {
    node('a').member.on('occupied', '');
    expect([1, 2, 3].map(() => selected({ sticky: true }))).toEqual(['a', 'a', 'a']);
  });

  test('with the id that the selected node gave the shard', () => {
    expect(selection.selectNow(requirements(), new Set(['a', 'c']))?.physicalId).toBe("b's");
  });

  test('to any node when no shard is read', () => {
    copies.clear();
    expect(selection.selectNow(requirements({ shard: null }))).toMatchObject({ physicalId: null });
    expect(selected({ shard: null, floor: 11 })).toBeNull();
  });

  test('to the primary when sticky, whatever its load', () => {
    view.primaryNode = 'b';
    setReadsInFlight('b', 5);
    expect([1, 2, 3].map(() => selected({ sticky: true }))).toEqual(['b', 'b', 'b']);
  });

  test('to the same other node when sticky while the primary is not eligible', () => {
    node('a').member.on('failed', '');
    setReadsInFlight('b', 5);
    expect([1, 2, 3].map(() => selected({ sticky: true }))).toEqual(['b', 'b', 'b']);
  });
});

describe('no read is sent to a node', () => {
  const onlyA = (floor = 0): unknown => selection.selectNow(requirements({ floor }), new Set(['b', 'c']));

  test.each([
    ['that is down', () => node('a').member.on('failed', '')],
    ['that has another identity', () => node('a').member.on('wrong_identity', '')],
    ['that has lost content', () => node('a').member.on('lost_content', '')],
    ['whose copy of the shard is suspect', () => view.suspect('a', SHARD)],
    ['that has no copy of the shard', () => copies.delete('a')],
  ])('%s', (_what, happen) => {
    expect(onlyA()).not.toBeNull();
    happen();
    expect(onlyA()).toBeNull();
  });

  test('that has not applied the floor, unless it has for this shard', () => {
    expect(onlyA(11)).toBeNull();
    view.apply('a', 11, 'another shard');
    expect(onlyA(11)).toBeNull();
    view.apply('a', 11, SHARD);
    expect(onlyA(11)).not.toBeNull();
  });

  test('that is catching up', () => {
    node('a').member.on('failed', '');
    node('a').member.on('responds', '');
    expect(onlyA()).toBeNull();
  });
});

describe('a read that no node can serve yet', () => {
  test('waits until a node has applied the floor', async () => {
    const selecting = selection.select(requirements({ floor: 12 }), new AbortController().signal);
    view.apply('b', 11);
    view.apply('c', 12);
    expect((await selecting).node.member.id).toBe('c');
  });

  test('waits for a node to serve', async () => {
    for (const { member } of nodes) member.on('failed', '');
    const selecting = selection.select(requirements(), new AbortController().signal);
    node('b').member.on('responds', '');
    node('b').member.on('caught_up', '');
    expect((await selecting).node.member.id).toBe('b');
  });

  test('fails at once when every copy is suspect', async () => {
    for (const id of ['a', 'b', 'c']) view.suspect(id, SHARD);
    await expect(selection.select(requirements(), new AbortController().signal)).rejects.toMatchObject({
      code: 'no_healthy_copy',
    });
  });

  test('fails at its deadline with the state of every node', async () => {
    node('b').member.on('failed', '');
    const deadline = new AbortController();
    const selecting = selection.select(requirements({ floor: 99 }), deadline.signal);
    deadline.abort();
    await expect(selecting).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining(
        'LSN 99 of this collection at the moment (a serving, b down, c serving)',
      ),
    });
  });
});

describe('a shard is out of use', () => {
  test('when every copy is suspect or lost', () => {
    expect(selection.isOutOfUse(SHARD)).toBe(false);
    view.suspect('a', SHARD);
    view.suspect('b', SHARD);
    expect(selection.isOutOfUse(SHARD)).toBe(false);
    node('c').member.on('lost_content', '');
    expect(selection.isOutOfUse(SHARD)).toBe(true);
  });

  test('not while a healthy copy is on a node that is down, or has yet to be created', () => {
    view.suspect('a', SHARD);
    view.suspect('b', SHARD);
    node('c').member.on('failed', '');
    expect(selection.isOutOfUse(SHARD)).toBe(false);
    copies.delete('c');
    expect(selection.isOutOfUse(SHARD)).toBe(false);
  });
});

test('a copy that is suspect or was replaced is not in use any more; one of a deleted collection still is', () => {
  const isInUse = (): boolean => selection.isInUse({ node: node('a'), physicalId: "a's" }, SHARD);
  expect(isInUse()).toBe(true);
  copies.delete('a');
  expect(isInUse()).toBe(true);
  copies.set('a', 'another');
  expect(isInUse()).toBe(false);
  copies.set('a', "a's");
  view.suspect('a', SHARD);
  expect(isInUse()).toBe(false);
  expect(selection.isInUse({ node: node('a'), physicalId: null }, null)).toBe(true);
});
