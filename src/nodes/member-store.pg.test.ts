import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { MemberStore } from './member-store.ts';
import { NodeStore } from './node-store.ts';

const at = (id: string) => ({ id, url: `http://${id}` });

let postgres: TestPostgres;
let database: Database;
let members: MemberStore;
let nodes: NodeStore;
let epoch: number;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database();
  members = new MemberStore(database);
  nodes = new NodeStore(database);
  epoch = await takeLease(database, 'one');
});

const admit = (id: string): Promise<void> =>
  nodes.add(epoch, { ...at(id), incarnation: randomUUID(), checkpoint: 0 });

test('seeds the first start in the order of NODES; a later id joins without counting yet', async () => {
  await Promise.all([members.seed(['b', 'a'].map(at)), members.seed(['b', 'a'].map(at))]);
  const { view } = await members.list();
  await members.seed(['a', 'b', 'c'].map(at));
  const list = await members.list();
  expect(list.members.map(({ id, counts }) => [id, counts])).toEqual([
    ['b', true],
    ['a', true],
    ['c', false],
  ]);
  expect(list.view).toBeGreaterThan(view);
  expect(await nodes.all()).toEqual([]);
  await admit('c');
  expect((await nodes.all()).map(({ id }) => id)).toEqual(['c']);
  await members.count('c');
  expect((await members.list()).members.every(({ counts }) => counts)).toBe(true);
});

test('a node gets one incarnation until it begins again', async () => {
  await members.seed([at('a')]);
  await admit('a');
  // A crash before its marker names it: introduced again.
  await admit('a');
  await nodes.filled(epoch, 'a', 0);
  await expect(admit('a')).rejects.toThrow('lease has moved on');
  await nodes.marked(epoch, { id: 'a', resets: 0 }, 7);
  expect(await members.reset(epoch, 'a')).toBe(true);
  expect(await members.reset(epoch + 1, 'a')).toBe(false);
  const [member] = (await members.list()).members;
  expect(member).toMatchObject({ incarnation: null, resets: 1, counts: true });
  expect(await nodes.removable('a')).toEqual({ filling: true, discard: false });
  await admit('a');
  expect(await nodes.all()).toMatchObject([{ checkpoint: 0, markerLSN: 0, filling: true }]);
});

test('a removed node stays removed, and joins again only when it is added', async () => {
  await members.seed(['a', 'b'].map(at));
  await admit('a');
  await admit('b');
  await nodes.setPrimary(epoch, 'a');
  expect(await members.remove(epoch, 'a')).toBe(false);
  expect(await members.remove(epoch + 1, 'b')).toBe(false);
  expect(await members.remove(epoch, 'b')).toBe(true);
  await members.seed(['a', 'b'].map(at));
  expect((await members.list()).members.map(({ id, removed }) => [id, removed])).toEqual([
    ['a', false],
    ['b', true],
  ]);
  expect(await members.add(at('b'))).toBe(true);
  expect(await members.add(at('b'))).toBe(false);
  const b = (await members.list()).members.find(({ id }) => id === 'b');
  expect(b).toMatchObject({ removed: false, counts: false, incarnation: null, resets: 1 });
});

test('a node moves from the address that was seen, and is drained and taken back', async () => {
  await members.seed([at('a')]);
  expect(await members.move({ id: 'a', url: 'http://new' }, 'http://other')).toBe(false);
  expect(await members.move({ id: 'a', url: 'http://new' }, 'http://a')).toBe(true);
  const before = (await members.version()).view;
  expect(await members.drain('a', true)).toBe(true);
  expect((await members.version()).view).toBeGreaterThan(before);
  expect((await members.list()).members).toMatchObject([{ url: 'http://new', drained: true }]);
  expect(await members.drain('x', true)).toBe(false);
});
