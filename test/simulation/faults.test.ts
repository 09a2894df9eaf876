// Replication through faults that no real server can be made to show on demand.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installMarker, writeMarker } from '../../src/nodes/marker.ts';
import { type Expected, type Marker } from '../../src/chroma/client/identity.ts';
import { NodeError } from '../../src/chroma/client/node-error.ts';
import { type FakeCall, FakeNode } from '../support/fake-chroma/node.ts';
import { type Disk, FakeChroma } from '../support/fake-chroma/server.ts';
import { COLLECTION, MemoryReplication, SETTLE_MS, SHARD } from '../support/memory-replication.ts';
import { seededRandom } from '../support/seeded-random.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
const isWrite = ({ path }: FakeCall): boolean => /\/(add|upsert|update)$/.test(path);
const holding =
  (text: string) =>
  ({ path, body }: FakeCall): boolean =>
    isWrite({ path } as FakeCall) && body.includes(text);
const upsert = (id: string, value: number): string =>
  `{"ids":["${id}"],"embeddings":[[${value}]],"documents":["${value}"]}`;
/** Without effect, and never given to what passed the checks: a server that is not as it should be. */
const REFUSAL = {
  answer: { status: 400, text: '{"error":"InvalidArgumentError","message":"Validation error: no"}' },
  executed: false,
} as const;

/** May have had an effect, and is given every time. */
const FAILURE = {
  answer: { status: 500, text: '{"error":"InternalError","message":"no"}' },
  executed: false,
} as const;
const scratchOn = (fake: FakeNode): string[] =>
  (
    JSON.parse(fake.look('GET', '/api/v2/tenants/polychrome/databases/polychrome/collections').text) as {
      name: string;
    }[]
  ).map(({ name }) => name);
const executedCalls = (id: string): number => replication.replica(id).fake.executed.filter(isWrite).length;

let replication: MemoryReplication;
afterEach(() => replication.stop());

/** Nodes that follow the log and hold the collection. */
async function following(...nodes: string[]): Promise<void> {
  replication = new MemoryReplication({ nodes, random: seededRandom(7) });
  replication.create();
  for (const replica of replication.replicas) replica.follow();
  await replication.level();
}

/** The writes a node has executed, by their documents. */
const executed = (id: string): string[] =>
  replication
    .replica(id)
    .fake.executed.filter(isWrite)
    .map(({ body }) => /"documents":\["(.*?)"/.exec(body)![1]!);
const suspect = (id: string): string | null => replication.replica(id).held.get(SHARD)!.suspect;

describe('a call without an answer', () => {
  beforeEach(() => following('a'));

  test('is repeated, and its late twin has its chance before the next call', async () => {
    const { fake } = replication.replica('a');
    fake.plan(holding('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.until(() => executed('a').length === 1, 'the call was repeated');
    await replication.clock.pass(SETTLE_MS - 100, 10);
    expect(executed('a')).toEqual(['1']);
    fake.runLate();
    await replication.level();
    expect(executed('a')).toEqual(['1', '1', '2']);
    expect(replication.content('a')).toContain('"documents":["2"]');
  });

  test('whose twin comes later than the settling time is not prevented from undoing what followed', async () => {
    const { fake } = replication.replica('a');
    fake.plan(holding('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.level();
    fake.runLate();
    expect(replication.content('a')).toContain('"documents":["1"]');
  });

  test('that was executed is repeated without harm', async () => {
    replication.replica('a').fake.plan(isWrite, 'drop_after');
    replication.write('add', upsert('x', 1));
    replication.write('add', upsert('y', 2));
    await replication.level();
    expect(replication.content('a')).toContain('"ids":["x","y"]');
  });

  test('needs no settling when the process was gone in between', async () => {
    const { fake } = replication.replica('a');
    fake.plan(holding('"1"'), 'hang');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.until(() => fake.hanging === 1, 'the call is out');
    fake.kill();
    await replication.clock.pass(100, 10);
    fake.start();
    const since = replication.clock.monotonic();
    await replication.level();
    expect(replication.clock.monotonic() - since).toBeLessThan(SETTLE_MS);
    expect(executed('a')).toEqual(['1', '2']);
  });

  test('that hangs has no second copy, and the node is not level', async () => {
    const { fake, applier } = replication.replica('a');
    fake.plan(isWrite, 'hang');
    replication.write('upsert', upsert('x', 1));
    await replication.clock.pass(20_000, 500);
    expect([executed('a'), fake.hanging, applier.callsInFlight]).toEqual([[], 1, 1]);
    fake.release();
    await replication.level();
    expect(executed('a')).toEqual(['1']);
  });
});

describe('an answer that says no', () => {
  test('500 after the write was committed is asked again, and the record is there once', async () => {
    await following('a');
    const { fake, troubles } = replication.replica('a');
    fake.plan(isWrite, {
      answer: { status: 500, text: '{"error":"InternalError","message":"x"}' },
      executed: true,
    });
    const lsn = replication.write('add', upsert('x', 1));
    await replication.until(() => troubles.length > 0, 'the answer has come');
    expect(replication.replica('a').checkpoint).toBe(lsn - 1);
    await replication.level();
    expect(replication.content('a')).toContain('"ids":["x"]');
    expect(replication.ended).toEqual([]);
  });

  test('from a server whose log reader has ended holds the node back until it is restarted', async () => {
    await following('a');
    const { fake } = replication.replica('a');
    const { text } = fake.look('POST', COLLECTIONS, '{"name":"poison"}');
    const { id } = JSON.parse(text) as { id: string };
    const poison = '{"ids":["p"],"embeddings":[[1]],"metadatas":[{"chroma:document":5}]}';
    fake.look('POST', `${COLLECTIONS}/${id}/upsert`, poison);
    const lsn = replication.write('add', upsert('x', 1));
    await replication.clock.pass(5_000, 100);
    expect(replication.replica('a').checkpoint).toBe(lsn - 1);
    fake.kill();
    fake.look('DELETE', `${COLLECTIONS}/poison`);
    fake.start();
    await replication.level();
    expect(replication.content('a')).toContain('"ids":["x"]');
  });

  test('from one node alone makes its shard suspect, and stops nobody', async () => {
    await following('a', 'b', 'c');
    replication.replica('b').fake.plan(isWrite, REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.level();
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect([suspect('a'), suspect('b'), suspect('c')]).toEqual([
      null,
      expect.stringContaining('LSN 2'),
      null,
    ]);
    expect(replication.ended).toEqual([]);
    expect(executed('b')).toEqual([]);
    expect(replication.content('a')).toBe(replication.content('c'));
  });

  test('from the primary, and from another node in a scratch collection, quarantines the entry everywhere', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(holding('"1"'), REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect(executed('c')).toEqual(['2']);
    expect(new Set(['a', 'b', 'c'].map((id) => replication.content(id))).size).toBe(1);
    expect(['a', 'b', 'c'].map(suspect)).toEqual([null, null, null]);
    for (const { fake } of replication.replicas) expect(scratchOn(fake)).toEqual([]);
  });

  test('from the primary alone makes its shard suspect, and the others apply the entry', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, REFUSAL, Infinity);
    const lsn = replication.write('upsert', upsert('x', 1));
    let isAcknowledged = false;
    const { signal } = new AbortController();
    const reached = replication.positions.reached({ lsn, shard: SHARD }, 'primary', signal);
    void reached.then(() => (isAcknowledged = true));
    await replication.level();
    expect(['a', 'b', 'c'].map((id) => suspect(id) === null)).toEqual([false, true, true]);
    expect([replication.ended, isAcknowledged]).toEqual([[], true]);
    expect(replication.content('b')).toContain('"ids":["x"]');
  });

  test('while a node that is away may have applied the entry refuses nothing: the others are suspect', async () => {
    await following('a', 'b', 'c');
    replication.replica('a').fake.plan(isWrite, 'drop_after');
    for (const id of ['b', 'c']) replication.replica(id).fake.plan(isWrite, REFUSAL, Infinity);
    replication.write('upsert', upsert('x', 1));
    await replication.until(() => executed('a').length > 0, 'the primary has applied it');
    replication.replica('a').fake.kill();
    replication.replica('a').answers = false;
    await replication.replica('a').leave();
    replication.promote('b');
    await replication.level('b', 'c');
    expect([replication.ended, suspect('b') !== null, suspect('c') !== null]).toEqual([[], true, true]);
    replication.replica('a').fake.start();
    replication.replica('a').answers = true;
    replication.replica('a').follow();
    await replication.level();
    expect(suspect('a')).toBeNull();
    expect(replication.content('a')).toContain('"ids":["x"]');
  });

  test('once, from a node that applies the entry when asked again, blames nobody', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(isWrite, REFUSAL, 1);
    replication.write('upsert', upsert('x', 1));
    await replication.level();
    expect([replication.ended, ...['a', 'b', 'c'].map(suspect)]).toEqual([[], null, null, null]);
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('five times, from the only node, quarantines the entry, and later writes go on', async () => {
    await following('a');
    replication.replica('a').fake.plan(holding('"1"'), FAILURE, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect([executed('a'), suspect('a')]).toEqual([['2'], null]);
  });

  test('500 with an effect, from every node, quarantines the entry and makes the copies that show it suspect', async () => {
    await following('a', 'b', 'c');
    for (const id of ['a', 'b'])
      replication.replica(id).fake.plan(holding('"1"'), { ...FAILURE, executed: true }, Infinity);
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    // Node b was only asked for a second opinion: its copy has not been touched.
    expect(['a', 'b', 'c'].map((id) => suspect(id) === null)).toEqual([false, true, true]);
    expect(replication.content('b')).toBe(replication.content('c'));
  });
});

describe('an entry that ends servers', () => {
  /** Every server that gets the call dies of it, and is started again a second later. */
  function deadly(...nodes: string[]): { died: string[] } {
    const died: string[] = [];
    for (const id of nodes) {
      const { fake } = replication.replica(id);
      fake.choose = (call) => {
        if (!call.mutates || !call.body.includes('"1"')) return null;
        died.push(id);
        replication.clock.after(0, () => replication.restart(id));
        return 'hang';
      };
    }
    return { died };
  }

  test('reaches two nodes of three, and is quarantined', async () => {
    await following('a', 'b', 'c');
    const { died } = deadly('a', 'b', 'c');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn: 2, outcome: 'quarantined' }]);
    expect(new Set(died).size).toBe(2);
    expect(died.length).toBeLessThanOrEqual(5);
    expect(new Set(['a', 'b', 'c'].map((id) => replication.content(id))).size).toBe(1);
  });

  test('is quarantined by the only node there is', async () => {
    await following('a');
    const { died } = deadly('a');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    expect([replication.ended, died.length]).toEqual([[{ lsn: 2, outcome: 'quarantined' }], 7]);
    expect(executed('a')).toEqual(['2']);
  });

  test('does not take its neighbours in the same call with it', async () => {
    await following('a', 'b', 'c');
    deadly('a', 'b', 'c');
    for (const [id, value] of [
      ['w', 3],
      ['x', 1],
      ['y', 2],
    ] as const)
      replication.write('upsert', upsert(id, value));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn: 3, outcome: 'quarantined' }]);
    for (const id of ['a', 'b', 'c']) expect(replication.content(id)).toContain('"ids":["w","y"]');
  });
});

describe('a large call', () => {
  const records = (count: number): string =>
    JSON.stringify({
      ids: Array.from({ length: count }, (_, n) => `r${n}`),
      embeddings: Array.from({ length: count }, (_, n) => [n]),
    });

  test('goes in parts, to the primary first', async () => {
    await following('a', 'b');
    for (const { fake } of replication.replicas)
      fake.choose = ({ mutates }) => (mutates ? { slowMs: 900 } : null);
    replication.write('add', records(2_500));
    await replication.until(() => executedCalls('a') === 1, 'the first part is applied');
    expect(executedCalls('b')).toBe(0);
    await replication.level();
    expect([executedCalls('a'), executedCalls('b')]).toEqual([3, 3]);
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('one part of which the servers fail ends partly applied, alike on every node', async () => {
    await following('a', 'b', 'c');
    for (const { fake } of replication.replicas) fake.plan(holding('"r1500"'), FAILURE, Infinity);
    const lsn = replication.write('add', records(2_500));
    await replication.level();
    expect(replication.ended).toEqual([{ lsn, outcome: 'partly_applied' }]);
    const { body } = replication.decisions.made.get(lsn)!;
    expect(JSON.parse(body.toString())).toMatchObject({ error: 'InternalError', applied: 1_024 });
    const { ids } = JSON.parse(replication.content('a')) as { ids: string[] };
    expect(ids).toHaveLength(1_024);
    for (const id of ['b', 'c']) expect(replication.content(id)).toBe(replication.content('a'));
  });
});

describe('what only the primary can decide', () => {
  const isCreate = ({ method, path }: FakeCall): boolean =>
    method === 'POST' && path.endsWith('/collections');
  const BOTH = '{"ids":["x","y"],"embeddings":[[1],[2]],"documents":["red","green"]}';

  test('a creation whose answer is lost makes one collection, on every node', async () => {
    replication = new MemoryReplication({ nodes: ['a', 'b'], random: seededRandom(7) });
    for (const { fake } of replication.replicas) fake.plan(isCreate, 'drop_after');
    replication.create();
    for (const replica of replication.replicas) replica.follow();
    await replication.level();
    for (const { fake, held } of replication.replicas) {
      const list = JSON.parse(fake.look('GET', COLLECTIONS).text) as { id: string }[];
      expect(list.map(({ id }) => id)).toEqual([held.get(SHARD)!.physical]);
    }
  });

  test('a delete by filter is decided by the primary, and nobody else deletes before', async () => {
    await following('a', 'b');
    replication.write('add', BOTH);
    await replication.level();
    replication.replica('a').fake.kill();
    replication.write('delete', '{"where_document":{"$contains":"red"}}');
    await replication.clock.pass(5_000, 100);
    expect(replication.content('b')).toContain('"ids":["x","y"]');
    replication.replica('a').fake.start();
    await replication.level();
    expect(replication.content('a')).toContain('"ids":["y"]');
    expect(replication.content('b')).toBe(replication.content('a'));
  });

  test('a delete by filter that was decided is not decided anew when its call is made again', async () => {
    await following('a');
    const { fake } = replication.replica('a');
    replication.write('add', BOTH);
    await replication.level();
    fake.plan(({ path }) => path.endsWith('/delete'), 'hang');
    const lsn = replication.write('delete', '{"where_document":{"$contains":"red"}}');
    await replication.until(() => fake.hanging === 1, 'the delete is out');
    fake.look(
      'POST',
      `${COLLECTIONS}/${replication.replica('a').held.get(SHARD)!.physical}/update`,
      '{"ids":["y"],"documents":["red"]}',
    );
    fake.cut();
    await replication.level();
    expect(replication.decisions.made.get(lsn)!.body.toString()).toBe('["x"]');
    expect(replication.content('a')).toContain('"ids":["y"]');
  });
});

describe('a node that has lost a collection the log says it has', () => {
  const BOTH = '{"ids":["x","y"],"embeddings":[[1],[2]],"documents":["red","green"]}';
  const RED = '{"where_document":{"$contains":"red"}}';
  const RENAMED = Buffer.from('{"new_name":"plums"}');
  const lose = (id: string): void => void replication.replica(id).fake.look('DELETE', `${COLLECTIONS}/pears`);
  const namesOn = (id: string): string[] =>
    (JSON.parse(replication.replica(id).fake.look('GET', COLLECTIONS).text) as { name: string }[]).map(
      ({ name }) => name,
    );

  async function holdingBoth(...nodes: string[]): Promise<void> {
    await following(...nodes);
    replication.write('add', BOTH);
    await replication.level();
  }

  test('decides no delete by filter as the primary: it is suspect, and the next primary decides', async () => {
    await holdingBoth('a', 'b', 'c');
    lose('a');
    const lsn = replication.write('delete', RED);
    await replication.level();
    expect([suspect('a'), suspect('b'), suspect('c')]).toEqual([
      `the node has no such collection, at LSN ${lsn}`,
      null,
      null,
    ]);
    expect(replication.primary).toBe('b');
    const { outcome, body } = replication.decisions.made.get(lsn)!;
    expect([outcome, body.toString()]).toEqual(['accepted', '["x"]']);
    expect(replication.content('b')).toContain('"ids":["y"]');
    expect(replication.content('c')).toBe(replication.content('b'));
  });

  test('nor does one that was suspect before, and the one after it', async () => {
    await holdingBoth('a', 'b', 'c');
    for (const id of ['a', 'b']) lose(id);
    const first = replication.write('delete', RED);
    await replication.level();
    expect([suspect('a'), suspect('b'), suspect('c')].map((each) => each !== null)).toEqual([
      true,
      true,
      false,
    ]);
    const second = replication.write('delete', '{"where_document":{"$contains":"green"}}');
    await replication.level();
    expect([first, second].map((lsn) => replication.decisions.made.get(lsn)!.body.toString())).toEqual([
      '["x"]',
      '["y"]',
    ]);
    expect(replication.content('c')).toContain('"ids":[]');
  });

  test('decides no rename either', async () => {
    await holdingBoth('a', 'b');
    lose('a');
    const lsn = replication.append({
      type: 'modify_collection',
      collection: SHARD,
      shards: [SHARD],
      newName: 'plums',
      body: RENAMED,
    });
    await replication.level();
    expect(replication.decisions.made.get(lsn)!.outcome).toBe('accepted');
    expect([namesOn('a'), namesOn('b'), suspect('a') !== null]).toEqual([[], ['plums'], true]);
  });

  test('follows what was decided as far as it can, and is suspect for the rest', async () => {
    await holdingBoth('a', 'b');
    lose('b');
    const lsn = replication.write('delete', RED);
    await replication.level();
    expect([suspect('a'), suspect('b')]).toEqual([null, `the node has no such collection, at LSN ${lsn}`]);
    expect(replication.primary).toBe('a');
    expect(replication.content('a')).toContain('"ids":["y"]');
  });

  test('and nobody else to decide refuses, and whoever comes later waits for nothing', async () => {
    await holdingBoth('a', 'b');
    const b = replication.replica('b');
    b.answers = false;
    await b.leave();
    lose('a');
    const lsn = replication.write('delete', RED);
    await replication.level('a');
    const { outcome, status } = replication.decisions.made.get(lsn)!;
    expect([outcome, status, suspect('a') !== null]).toEqual(['refused', 503, true]);
    const rename = replication.append({
      type: 'modify_collection',
      collection: COLLECTION,
      shards: [SHARD],
      newName: 'plums',
      body: RENAMED,
    });
    await replication.level('a');
    expect(replication.decisions.made.get(rename)!.outcome).toBe('refused');

    b.answers = true;
    b.follow();
    const later = replication.write('delete', '{"where_document":{"$contains":"green"}}');
    await replication.level();
    expect(replication.decisions.made.get(later)!.body.toString()).toBe('["y"]');
    expect([replication.content('b'), namesOn('b')]).toEqual([
      expect.stringContaining('"ids":["x"]'),
      ['pears'],
    ]);
  });

  test('and whose successor goes before it comes asks again, and refuses', async () => {
    await holdingBoth('a', 'b');
    const b = replication.replica('b');
    lose('a');
    b.fake.kill();
    const lsn = replication.write('delete', RED);
    await replication.until(() => suspect('a') !== null, 'the loss is known');
    b.answers = false;
    await b.leave();
    await replication.level('a');
    expect([replication.primary, replication.decisions.made.get(lsn)!.outcome]).toEqual(['a', 'refused']);
  });

  test('passes nothing by that is not decided: it may be the primary next', async () => {
    await holdingBoth('a', 'b');
    lose('b');
    replication.write('delete', RED);
    await replication.level();
    expect(suspect('b')).not.toBeNull();
    replication.replica('a').fake.kill();
    const lsn = replication.write('delete', '{"where_document":{"$contains":"green"}}');
    await replication.clock.pass(5_000, 100);
    expect(replication.replica('b').checkpoint).toBe(lsn - 1);
    replication.replica('a').fake.start();
    await replication.level();
    expect(replication.content('a')).toContain('"ids":[]');
  });
});

describe('a server that is not the one that was left', () => {
  const marker = (checkpoint: number): Marker => ({
    cluster: 'pears',
    node: 'a',
    incarnation: 'first',
    progress: { log: 'log', checkpoint, token: 'token' },
  });
  /** What the node's marker is known to have held. */
  let markerLSN: number;
  let older: Disk;

  beforeEach(async () => {
    markerLSN = 0;
    const expected = (): Expected => ({ cluster: 'pears', node: 'a', incarnation: 'first', markerLSN });
    replication = new MemoryReplication({ nodes: ['a'], random: seededRandom(7), expect: expected });
    const { fake } = replication.replica('a');
    const id = await installMarker(fake.client(), marker(0));
    replication.create();
    replication.replica('a').follow();
    replication.write('upsert', upsert('x', 1));
    await replication.level();
    older = fake.server.disk();
    replication.write('upsert', upsert('y', 2));
    await replication.level();
    await writeMarker(fake.client(), id, marker(3));
    markerLSN = 3;
    fake.kill();
    replication.write('upsert', upsert('z', 3));
  });

  const servers: Readonly<Record<string, () => Promise<FakeChroma>>> = {
    async older_content() {
      const { server } = replication.replica('a').fake;
      server.restore(older);
      return server;
    },
    marker_missing: async () => new FakeChroma(seededRandom(9)),
    async wrong_identity() {
      const clock = replication.clock;
      const other = new FakeNode({ clock, server: new FakeChroma(seededRandom(8)) });
      await installMarker(other.client(), { ...marker(3), node: 'b' });
      return other.server;
    },
  };
  test.each(Object.entries(servers))('%s: nothing is sent to it', async (code, server) => {
    const { fake, troubles } = replication.replica('a');
    const before = fake.executed.length;
    fake.start(await server());
    await replication.clock.pass(3_000, 100);
    expect(fake.executed.slice(before)).toEqual([]);
    const last = troubles.at(-1);
    expect(last instanceof NodeError && last.code).toBe(code);
  });

  test('its own, with all it had: it goes on', async () => {
    replication.replica('a').fake.start();
    await replication.level();
    expect(replication.content('a')).toContain('"ids":["x","y","z"]');
  });
});
