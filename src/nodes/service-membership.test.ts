import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { MemberRow, NodeLocation } from './member-store.ts';
import { ServiceMembership } from './service-membership.ts';

const FORGET_AFTER_MS = 60_000;
const at = (...ids: string[]): NodeLocation[] => ids.map((id) => ({ id, url: `http://${id}` }));

let clock: ManualClock;
let members: MemberRow[];
let serving: string[];
let primary: string;
let leads: boolean;
let warnings: string[];
/** Why a removed node cannot join again. */
let refusal: string | null;
let membership: ServiceMembership;

const member = ({ id, url }: NodeLocation): MemberRow => ({
  id,
  url,
  incarnation: `first-${id}`,
  drained: false,
  counts: true,
  removed: false,
  resets: 0,
  filling: false,
});
const setRemoved = (id: string, removed: boolean): void => {
  members = members.map((each) => (each.id === id ? { ...each, removed } : each));
};
const remaining = (): string[] => members.filter(({ removed }) => !removed).map(({ id }) => id);

beforeEach(() => {
  clock = new ManualClock();
  members = at('a', 'b', 'c').map(member);
  serving = ['a', 'b'];
  primary = 'a';
  leads = true;
  warnings = [];
  refusal = null;
  membership = new ServiceMembership({
    seed: async (nodes) => void (members = [...members, ...nodes.map(member)]),
    rejoin: async ({ id }) => {
      if (refusal !== null) throw new Error(refusal);
      setRemoved(id, false);
    },
    remove: async (id) => setRemoved(id, true),
    forgetAfterMs: FORGET_AFTER_MS,
    leads: () => leads,
    primary: () => primary,
    serving: () => serving,
    clock,
    logger: {
      info: () => undefined,
      warn: (fields) => void warnings.push((fields as { error: string }).error),
    },
  });
});

/** Answers with these nodes once, and again after the time in which a node is forgotten. */
async function absentFor(ms: number, ...found: string[]): Promise<void> {
  await membership.follow(at(...found), members);
  await clock.advance(ms);
  await membership.follow(at(...found), members);
}

test('adds nodes that appear', async () => {
  expect(await membership.follow(at('a', 'b', 'c', 'd'), members)).toBe(true);
  expect(remaining()).toEqual(['a', 'b', 'c', 'd']);
  expect(await membership.follow(at('a', 'b', 'c', 'd'), members)).toBe(false);
});

test('removes a node that has been absent for long enough, until it appears again', async () => {
  await absentFor(FORGET_AFTER_MS - 1, 'a', 'b');
  expect(remaining()).toEqual(['a', 'b', 'c']);
  await clock.advance(1);
  expect(await membership.follow(at('a', 'b'), members)).toBe(true);
  expect(remaining()).toEqual(['a', 'b']);
  expect(await membership.follow(at('a', 'b', 'c'), members)).toBe(true);
  expect(remaining()).toEqual(['a', 'b', 'c']);
});

test.each<[string, () => void]>([
  ['serves', () => serving.push('c')],
  ['is primary', () => void (primary = 'c')],
  ['leaves fewer than two that serve', () => void (serving = ['a'])],
  ['is absent where this gateway does not lead', () => void (leads = false)],
])('keeps a node that %s', async (_what, change) => {
  change();
  await absentFor(10 * FORGET_AFTER_MS, 'a', 'b');
  expect(remaining()).toEqual(['a', 'b', 'c']);
});

test('begins anew when the node is seen, or nothing is known, in between', async () => {
  await absentFor(FORGET_AFTER_MS - 1, 'a', 'b');
  await absentFor(FORGET_AFTER_MS - 1, 'a', 'b', 'c');
  await absentFor(FORGET_AFTER_MS - 1, 'a', 'b');
  membership.unknown();
  await absentFor(FORGET_AFTER_MS - 1, 'a', 'b');
  expect(remaining()).toEqual(['a', 'b', 'c']);
});

test('adds a removed node again once it has been gone, and says once why it cannot join', async () => {
  setRemoved('c', true);
  expect(await membership.follow(at('a', 'b', 'c'), members)).toBe(false);
  await membership.follow(at('a', 'b'), members);
  refusal = 'the server holds data';
  await membership.follow(at('a', 'b', 'c'), members);
  await membership.follow(at('a', 'b', 'c'), members);
  expect([remaining(), warnings]).toEqual([['a', 'b'], ['Error: the server holds data']]);
  refusal = null;
  expect(await membership.follow(at('a', 'b', 'c'), members)).toBe(true);
  expect(remaining()).toEqual(['a', 'b', 'c']);
});
