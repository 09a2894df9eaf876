// I7: what a leader does under an epoch that is over changes nothing.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { MemberStore } from '../nodes/member-store.ts';
import { NodeStore } from '../nodes/node-store.ts';
import { checksum, type Draft } from '../log/entry.ts';
import { PostgresAppendStore } from '../log/postgres-append-store.ts';
import { PostgresLog } from '../log/postgres-log.ts';
import type { Database } from '../postgres/database.ts';
import { Checkpoints } from './checkpoints.ts';
import { Decisions } from './decisions.ts';
import { PostgresTrialStore } from './trials.ts';

/** The epoch that is over, and the one in force. */
let [old, current] = [0, 0];
const [COLLECTION, SHARD, OTHER_SHARD] = [randomUUID(), randomUUID(), randomUUID()];
const LSN = 1;
const NODE = { id: 'node', resets: 0 };

let postgres: TestPostgres;
let database: Database;
/** Generation under which `node` is primary. */
let generation: number;

beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

/** A log with one undecided create, a node that holds a shard, and a lease that has just moved on. */
beforeEach(async () => {
  database = await postgres.database();
  old = await takeLease(database, 'old');
  const nodes = new NodeStore(database);
  await nodes.add(old, { id: 'node', url: 'http://node', incarnation: randomUUID(), checkpoint: 0 });
  generation = await nodes.setPrimary(old, 'node');
  const { logId } = await new PostgresLog(database).head();
  const appends = new PostgresAppendStore(database, {
    logId: () => logId,
    takeWarning: () => null,
    seen: () => ({ head: 0, newest: null }),
  });
  const header = { shard: SHARD, tenant: 'default_tenant', database: 'default_database', name: 'pears' };
  const draft: Draft = {
    kind: 'create_collection',
    target: COLLECTION,
    header: JSON.stringify(header),
    dimension: null,
    body: Buffer.from('{"name":"pears"}'),
  };
  await appends.append(randomUUID(), [draft], [checksum(draft)]);
  await new Checkpoints(database).save(old, NODE, 0, [
    { shard: OTHER_SHARD, physical: randomUUID(), name: 'other', lsn: 0 },
  ]);
  current = await takeLease(database, 'new');
});

/** Every row a leader may change. */
async function everything(): Promise<string> {
  const s = database.schema;
  const tables = [
    'head',
    'node',
    'node_shard',
    'collection_body',
    'decision',
    'decision_page',
    'quarantine',
    'entry_attempt',
    'collection',
    'collection_name',
    'shard',
  ];
  const parts = tables.map((table) => `(select json_agg(t order by t::text) from ${s}.${table} t)`);
  const [row] = await database.query(`select json_build_array(${parts.join(', ')}) as all`);
  return JSON.stringify(row);
}

/** Every durable step a leader takes. */
const STEPS: Readonly<Record<string, (epoch: number) => Promise<unknown>>> = {
  'a checkpoint': (epoch) => new Checkpoints(database).save(epoch, NODE, LSN, []),
  'a checkpoint with a shard that came': (epoch) =>
    new Checkpoints(database).save(epoch, NODE, 0, [
      { shard: SHARD, physical: randomUUID(), name: 'pears', lsn: LSN },
    ]),
  'a checkpoint with a shard that went': (epoch) =>
    new Checkpoints(database).save(epoch, NODE, 0, [
      { shard: OTHER_SHARD, physical: null, name: null, lsn: LSN },
    ]),
  'a suspicion': (epoch) => new Checkpoints(database).suspect(epoch, 'node', OTHER_SHARD, 'refused'),
  'a decision': (epoch) =>
    new Decisions(database).record({ epoch, node: 'node', generation }, LSN, {
      outcome: 'accepted',
      status: 200,
      body: Buffer.from('{}'),
    }),
  'a quarantine': (epoch) =>
    new Decisions(database).record({ epoch, node: null, generation: 0 }, LSN, {
      outcome: 'quarantined',
      status: 400,
      body: Buffer.from('{}'),
    }),
  'a page of a decision': async (epoch) => {
    const by = { epoch, node: 'node', generation };
    if (!(await new Decisions(database).addPage(by, LSN, 0, Buffer.from('[]')))) throw new Error('not added');
  },
  'the announcement of a long call': (epoch) => new NodeStore(database).announce(epoch, 'node', LSN, 5_000),
  'a primary': (epoch) => new NodeStore(database).setPrimary(epoch, 'node'),
  'a new node': (epoch) =>
    new NodeStore(database).add(epoch, {
      id: 'another',
      url: 'http://b',
      incarnation: randomUUID(),
      checkpoint: 0,
    }),
  'that a node has its content': (epoch) => new NodeStore(database).filled(epoch, 'node', 0),
  "a node's state": (epoch) => new NodeStore(database).update(epoch, NODE, 'down', 'gone'),
  'a marker': (epoch) => new NodeStore(database).marked(epoch, NODE, LSN),
};

describe('under an epoch that is over', () => {
  test.each(Object.entries(STEPS))('%s changes nothing, and says so', async (_what, step) => {
    const before = await everything();
    const outcome = await step(old).catch((error: unknown) => error);
    expect(outcome === null || outcome instanceof Error).toBe(true);
    expect(await everything()).toBe(before);
  });
});

test('a failed attempt that is saved under an epoch that is over changes nothing', async () => {
  const before = await everything();
  const failure = { kind: 'dropped', status: 0, body: Buffer.alloc(0) } as const;
  const attempts = [{ lsn: LSN, node: 'node', attempts: 1, alone: 1, failure, appliedRecords: 0 }];
  await new PostgresTrialStore(database).save(old, attempts);
  expect(await everything()).toBe(before);
  await new PostgresTrialStore(database).save(current, attempts);
  expect(await everything()).not.toBe(before);
});

describe('under the epoch in force', () => {
  test.each(Object.entries(STEPS))('%s changes something', async (_what, step) => {
    const before = await everything();
    await step(current);
    expect(await everything()).not.toBe(before);
  });
});

describe('decisions and checkpoints', () => {
  test('a primary of an earlier generation decides nothing more', async () => {
    await new NodeStore(database).setPrimary(current, 'node');
    const ruling = { outcome: 'accepted', status: 200, body: Buffer.alloc(0) } as const;
    const decisions = new Decisions(database);
    expect(await decisions.record({ epoch: current, node: 'node', generation }, LSN, ruling)).toBe(null);
    expect(await decisions.find(LSN)).toBe(null);
  });

  test('the first decision stands', async () => {
    const by = { epoch: current, node: 'node', generation };
    const ruling = (status: number) =>
      ({ outcome: status === 200 ? 'accepted' : 'refused', status, body: Buffer.alloc(0) }) as const;
    const decisions = new Decisions(database);
    expect(await decisions.record(by, LSN, ruling(200))).toMatchObject({ outcome: 'accepted' });
    expect(await decisions.record(by, LSN, ruling(409))).toMatchObject({ outcome: 'accepted', status: 200 });
  });

  test('the next leader knows the quarantined entries', async () => {
    await STEPS['a quarantine']!(current);
    const next = new Decisions(database);
    expect(next.openQuarantine).toEqual([]);
    await next.load();
    expect([next.openQuarantine, next.isQuarantined(LSN)]).toEqual([[LSN], true]);
  });

  test('a checkpoint is never lowered', async () => {
    const checkpoints = new Checkpoints(database);
    await checkpoints.save(current, NODE, 5, []);
    await checkpoints.save(current, NODE, 3, []);
    const [row] = await new NodeStore(database).all();
    expect(row?.checkpoint).toBe(5);
  });

  test('nothing is recorded of a node that has begun again since, and the checkpoints beside it are', async () => {
    const [nodes, members, checkpoints] = [
      new NodeStore(database),
      new MemberStore(database),
      new Checkpoints(database),
    ];
    await nodes.add(current, { id: 'b', url: 'http://b', incarnation: randomUUID(), checkpoint: 0 });
    await members.reset(current, NODE.id);
    const content = (): Promise<unknown> =>
      database.query(`select * from ${database.schema}.node where id = 'node'`);
    const before = await content();
    const change = { shard: SHARD, physical: randomUUID(), name: 'pears', lsn: 5 };
    const saves = await Promise.allSettled([
      checkpoints.save(current, NODE, 5, [change]),
      checkpoints.save(current, { id: 'b', resets: 0 }, 4, []),
    ]);
    expect(saves.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    await expect(nodes.update(current, NODE, 'serving', null)).rejects.toThrow('lease');
    await expect(nodes.marked(current, NODE, 5)).rejects.toThrow('lease');
    expect(await content()).toEqual(before);
    expect(await checkpoints.assigned(NODE.id)).toEqual(new Map());
    expect((await nodes.all()).map(({ id, checkpoint }) => [id, checkpoint])).toEqual([['b', 4]]);
    await checkpoints.save(current, { ...NODE, resets: 1 }, 3, []);
    expect(await content()).toMatchObject([{ checkpoint: 3 }]);
  });

  test('what an old term left waiting does not take the new one down with it', async () => {
    const checkpoints = new Checkpoints(database);
    const saves = await Promise.allSettled([
      checkpoints.save(old, NODE, 1, []),
      checkpoints.save(current, NODE, 2, []),
    ]);
    expect(saves.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });
});
