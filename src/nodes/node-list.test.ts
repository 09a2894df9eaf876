import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { MemberRow, NodeLocation } from './member-store.ts';
import { differencesBetween, NodeList } from './node-list.ts';
import { NodeRegistry } from './node-registry.ts';
import type { Node } from './node.ts';

interface Built {
  readonly member: Node;
  readonly admission: { readonly incarnation: string | null };
  readonly isReplacement: boolean;
}

const row = (id: string, changes: Partial<MemberRow> = {}): MemberRow => ({
  id,
  url: `http://${id}`,
  incarnation: `first-${id}`,
  drained: false,
  counts: true,
  removed: false,
  resets: 0,
  filling: false,
  ...changes,
});

let clock: ManualClock;
let members: MemberRow[];
let view: number;
let timeline: number;
/** Which node responds at an address. */
let servers: Map<string, { node: string; incarnation: string }>;
let retired: [string, boolean][];
let warnings: string[];
const stop = { controller: new AbortController() };

beforeEach(() => {
  clock = new ManualClock();
  members = [row('a'), row('b')];
  [view, timeline] = [1, 1];
  servers = new Map(['a', 'b'].map((id) => [`http://${id}`, { node: id, incarnation: `first-${id}` }]));
  retired = [];
  warnings = [];
  stop.controller = new AbortController();
});
afterEach(() => stop.controller.abort());

function change(id: string, changes: Partial<MemberRow>): void {
  members = members.map((member) => (member.id === id ? { ...member, ...changes } : member));
  view += 1;
}

/** A list that runs, with its registry. */
function started(configured: readonly NodeLocation[] = members): NodeRegistry<Built> {
  const registry = new NodeRegistry<Built>();
  const list = new NodeList<Built>(
    {
      store: {
        list: async () => ({ view, timeline, members }),
        version: async () => ({ view, timeline }),
        count: async (id) => change(id, { counts: true }),
        exchange: async (nodes) => {
          for (const { id, url } of nodes) change(id, { url });
          return true;
        },
        move: async ({ id, url }) => {
          change(id, { url });
          return true;
        },
      },
      registry,
      directory: { name: 'NODES', nodes: async () => configured },
      membership: null,
      build: ({ id, url, incarnation, counts, drained }, isReplacement) => ({
        member: { id, url, counts, isDrained: drained } as unknown as Node,
        admission: { incarnation },
        isReplacement,
      }),
      retire: async ({ member }, isGone) => void retired.push([member.id, isGone]),
      identify: async (url) => {
        const found = servers.get(url);
        if (found === undefined) throw new Error('connection refused');
        return found;
      },
      onChanged: () => undefined,
      clock,
      logger: {
        info: () => undefined,
        warn: (fields) => void warnings.push((fields as { difference?: string }).difference ?? ''),
      },
    },
    { view, timeline, members },
  );
  void list.run(stop.controller.signal);
  return registry;
}

describe('the registry follows the list', () => {
  test('with nodes that join and leave', async () => {
    const registry = started();
    members = [...members, row('c', { counts: false })];
    change('a', { removed: true });
    await clock.pass(1_000);
    expect(registry.ids()).toEqual(['b', 'c']);
    expect(retired).toEqual([['a', true]]);
    expect([registry.counted(), registry.get('c').isReplacement]).toEqual([['b'], false]);
  });

  test('with a node that is drained, without building it anew', async () => {
    const registry = started();
    const before = registry.get('a');
    change('a', { drained: true });
    await clock.pass(1_000);
    expect(registry.get('a')).toBe(before);
    expect([before.member.isDrained, retired]).toEqual([true, []]);
  });

  test('with a node that begins again without content, built anew', async () => {
    const registry = started();
    change('a', { resets: 1, incarnation: null });
    await clock.pass(1_000);
    expect([retired, registry.get('a').isReplacement]).toEqual([[['a', true]], true]);
  });

  test('with a node that a promoted server has under another incarnation, built anew', async () => {
    const registry = started();
    change('a', { incarnation: 'second-a' });
    await clock.pass(1_000);
    expect([retired, registry.get('a').isReplacement]).toEqual([[['a', true]], true]);
  });

  test('of a promoted server, whose view number is the same by chance', async () => {
    const registry = started();
    change('a', { incarnation: 'second-a' });
    [view, timeline] = [1, 2];
    await clock.pass(1_000);
    expect([retired, registry.get('a').isReplacement]).toEqual([[['a', true]], true]);
  });

  test.each([
    ['not in the list yet', { incarnation: null }],
    ['in progress', { incarnation: 'unfinished-a', filling: true }],
  ])('with a node whose introduction is %s, as it is', async (_when, changes) => {
    const registry = started();
    change('a', changes);
    await clock.pass(1_000);
    expect([retired, registry.get('a').isReplacement]).toEqual([[], false]);
  });

  test('and a node that serves for the first time counts durably', async () => {
    members = [row('a'), row('b', { counts: false })];
    const registry = started();
    registry.get('b').member.counts = true;
    await clock.pass(1_000);
    expect(members.map(({ counts }) => counts)).toEqual([true, true]);
  });
});

describe('a node that NODES names at another address', () => {
  const moved = [
    { id: 'a', url: 'http://new-a' },
    { id: 'b', url: 'http://b' },
  ];

  test('moves once its marker is there and no longer at the old address', async () => {
    const registry = started(moved);
    await clock.pass(1_000);
    expect(registry.get('a').member.url).toBe('http://a');
    expect(warnings).toEqual([expect.stringContaining('node "a" is at http://new-a')]);
    servers.set('http://new-a', servers.get('http://a')!);
    await clock.pass(6_000);
    expect(registry.get('a').member.url).toBe('http://a');
    servers.delete('http://a');
    await clock.pass(6_000);
    expect(registry.get('a').member.url).toBe('http://new-a');
    expect([retired, registry.get('a').isReplacement]).toEqual([[['a', false]], true]);
  });

  test('does not move to a server that is another node, or blank', async () => {
    servers.delete('http://a');
    servers.set('http://new-a', { node: 'a', incarnation: 'second' });
    const registry = started(moved);
    await clock.pass(11_000);
    expect(registry.get('a').member.url).toBe('http://a');
  });

  test('whose folders were exchanged are used where their folders are', async () => {
    const registry = started();
    const [a, b] = [servers.get('http://a')!, servers.get('http://b')!];
    servers.set('http://a', b).set('http://b', a);
    for (const { member } of registry.all()) Object.assign(member, { state: 'fenced' });
    await clock.pass(6_000, 100);
    expect(registry.all().map(({ member }) => [member.id, member.url])).toEqual([
      ['a', 'http://b'],
      ['b', 'http://a'],
    ]);
    expect(retired).toEqual([
      ['a', false],
      ['b', false],
    ]);
  });

  test('is not moved to an address that another node still has', async () => {
    const registry = started();
    servers.set('http://a', servers.get('http://b')!);
    Object.assign(registry.get('a').member, { state: 'fenced' });
    await clock.pass(6_000, 100);
    expect(registry.all().map(({ member }) => member.url)).toEqual(['http://a', 'http://b']);
  });

  test('does not go back and forth between gateways whose NODES differ', async () => {
    servers.set('http://new-a', servers.get('http://a')!);
    servers.delete('http://a');
    const one = started(moved);
    const other = started([row('a'), row('b')]);
    await clock.pass(20_000);
    expect([one, other].map((registry) => registry.get('a').member.url)).toEqual([
      'http://new-a',
      'http://new-a',
    ]);
    expect(view).toBe(2);
  });
});

test('every difference between NODES and the list is reported, without credentials', () => {
  const list = [row('a', { url: 'http://user:secret@a' }), row('gone', { removed: true }), row('kept')];
  const configured = ['a', 'gone', 'new'].map((id) => ({ id, url: `http://${id}` }));
  const differences = differencesBetween(configured, list, 'NODES');
  expect(differences).toEqual([
    expect.stringMatching(/"a" is at http:\/\/a;.*uses it at http:\/\/\*\*\*@a/),
    expect.stringContaining('"gone", which was removed'),
    expect.stringContaining('does not name node "kept"'),
  ]);
  expect(differencesBetween([{ id: 'kept', url: 'http://kept' }], [row('kept')], 'NODES')).toEqual([]);
});
