import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { ShardCopy } from '../catalog/catalog.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { Node } from '../nodes/node.ts';
import { Positions } from '../replication/positions.ts';
import { NodeChoice, type ReadNode, type Wanted } from './node-selection.ts';

const SHARD = 'shard';

let nodes: ReadNode[];
let positions: Positions;
let physical: Map<string, ShardCopy>;
let primary: string | null;
let choice: NodeChoice;

beforeEach(() => {
  positions = new Positions(() => false);
  physical = new Map();
  primary = 'a';
  nodes = ['a', 'b', 'c'].map((id) => serving(id));
  choice = new NodeChoice({
    nodes,
    positions,
    physical: (node) => physical.get(node),
    primary: () => primary,
  });
});

/** A node that serves, holds the shard, and has applied LSN 10. */
function serving(id: string): ReadNode {
  const probe = { probe: () => never, canary: () => never, verify: () => never };
  const quiet = (): void => undefined;
  const clock = new ManualClock();
  const member = new Node({
    id,
    url: '',
    probe,
    work: { explainsSilence: false, isLong: false, isOverdueBy: () => false },
    overdueMaxMs: 60_000,
    clock,
    onTransition: quiet,
    onProcessGone: quiet,
  });
  member.on('admitted', '');
  member.on('caught_up', '');
  physical.set(id, { physical: `${id}'s`, suspect: null });
  positions.nodeApplied(id, 10);
  return { member, client: {} as NodeClient, asked: new Set() };
}

const never = new Promise<never>(() => undefined);
const wanted = (more: Partial<Wanted> = {}): Wanted => ({
  shard: SHARD,
  floor: 0,
  sticky: false,
  except: new Set(),
  ...more,
});
const chosen = (more: Partial<Wanted> = {}): string | undefined => choice.now(wanted(more))?.node.member.id;
const node = (id: string): ReadNode => nodes.find(({ member }) => member.id === id)!;
const ask = (id: string, reads: number): void => {
  for (let n = 0; n < reads; n++) node(id).asked.add(new AbortController());
};

describe('a read goes', () => {
  test('to the nodes in turn when they are equally busy', () => {
    expect(new Set([chosen(), chosen(), chosen()])).toEqual(new Set(['a', 'b', 'c']));
  });

  test('to the one with the fewest reads under way', () => {
    ask('a', 2);
    ask('b', 1);
    ask('c', 2);
    expect([chosen(), chosen(), chosen()]).toEqual(['b', 'b', 'b']);
  });

  test('to a busy node only when no other node can answer it', () => {
    node('a').member.on('occupied', '');
    node('b').member.on('occupied', '');
    ask('c', 9);
    expect([chosen(), chosen(), chosen()]).toEqual(['c', 'c', 'c']);
    node('c').member.on('failed', '');
    ask('a', 1);
    expect([chosen(), chosen()]).toEqual(['b', 'b']);
  });

  test('page by page to the primary although it is busy: another node may return another order', () => {
    node('a').member.on('occupied', '');
    expect([1, 2, 3].map(() => chosen({ sticky: true }))).toEqual(['a', 'a', 'a']);
  });

  test('under the id that this node gave the shard', () => {
    expect(choice.now(wanted({ except: new Set(['a', 'c']) }))?.physical).toBe("b's");
  });

  test('to any node when no shard is asked for', () => {
    physical.clear();
    expect(choice.now(wanted({ shard: null }))?.physical).toBe(null);
    expect(chosen({ shard: null, floor: 11 })).toBeUndefined();
  });

  test('page by page to the primary, however busy it is', () => {
    primary = 'b';
    ask('b', 5);
    expect([1, 2, 3].map(() => chosen({ sticky: true }))).toEqual(['b', 'b', 'b']);
  });

  test('page by page to the same other node while the primary cannot answer', () => {
    node('a').member.on('failed', '');
    ask('b', 5);
    expect([1, 2, 3].map(() => chosen({ sticky: true }))).toEqual(['b', 'b', 'b']);
  });
});

describe('no read goes to a node', () => {
  const onlyA = (): Wanted => wanted({ except: new Set(['b', 'c']) });

  test.each([
    ['that is down', () => node('a').member.on('failed', '')],
    ['that is another', () => node('a').member.on('wrong_identity', '')],
    ['that has lost content', () => node('a').member.on('lost_content', '')],
    ['whose shard is suspect', () => physical.set('a', { physical: 'x', suspect: 'refused' })],
    ['that does not hold the shard', () => physical.delete('a')],
  ])('%s', (_what, happen) => {
    expect(choice.now(onlyA())).not.toBe(null);
    happen();
    expect(choice.now(onlyA())).toBe(null);
  });

  test('that has not applied the floor, unless it has for this shard', () => {
    expect(choice.now({ ...onlyA(), floor: 11 })).toBe(null);
    positions.shardApplied('a', 'another shard', [11]);
    expect(choice.now({ ...onlyA(), floor: 11 })).toBe(null);
    positions.shardApplied('a', SHARD, [11]);
    expect(choice.now({ ...onlyA(), floor: 11 })).not.toBe(null);
  });

  test('that still catches up', () => {
    node('a').member.on('failed', '');
    node('a').member.on('responds', '');
    expect(choice.now(onlyA())).toBe(null);
  });
});

describe('a read that nobody can answer yet', () => {
  test('waits for a node to come far enough', async () => {
    const waiting = choice.choose(wanted({ floor: 12 }), new AbortController().signal);
    positions.nodeApplied('b', 11);
    positions.nodeApplied('c', 12);
    expect((await waiting).node.member.id).toBe('c');
  });

  test('waits for a node to serve', async () => {
    for (const { member } of nodes) member.on('failed', '');
    const waiting = choice.choose(wanted(), new AbortController().signal);
    node('b').member.on('responds', '');
    node('b').member.on('caught_up', '');
    expect((await waiting).node.member.id).toBe('b');
  });

  test('is told at its deadline who cannot and why', async () => {
    node('b').member.on('failed', '');
    const deadline = new AbortController();
    const waiting = choice.choose(wanted({ floor: 99 }), deadline.signal);
    deadline.abort();
    await expect(waiting).rejects.toMatchObject({
      code: 'no_node',
      message: expect.stringContaining(
        'LSN 99 of this collection at the moment (a serving, b down, c serving)',
      ),
    });
  });
});

describe('a shard is out of use', () => {
  const doubt = (...ids: string[]): void => {
    for (const id of ids) physical.set(id, { ...physical.get(id)!, suspect: 'it differs' });
  };

  test('when every node has it in doubt, or lost it', () => {
    expect(choice.isOutOfUse(SHARD)).toBe(false);
    doubt('a', 'b');
    expect(choice.isOutOfUse(SHARD)).toBe(false);
    node('c').member.on('lost_content', '');
    expect(choice.isOutOfUse(SHARD)).toBe(true);
  });

  test('not while one is down with it, or has not come to its creation', () => {
    doubt('a', 'b');
    node('c').member.on('failed', '');
    expect(choice.isOutOfUse(SHARD)).toBe(false);
    physical.delete('c');
    expect(choice.isOutOfUse(SHARD)).toBe(false);
    physical.clear();
    expect(choice.isOutOfUse(SHARD)).toBe(false);
  });
});
