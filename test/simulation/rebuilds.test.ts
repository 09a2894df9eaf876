// Suspect copies are built anew beside the old ones, from a healthy node, while the log goes on.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COLLECTIONS, SHARD } from '../support/memory-replication.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { following, isReserved, isSuspect, replication, upsert, writing } from './scenario.ts';

afterEach(() => replication.stop());

const GRACE_MS = 60_000;
const recordsPath = (id: string, action: string): string =>
  `${COLLECTIONS}/${replication.replica(id).assigned.get(SHARD)!.physical}/${action}`;

/** Changes a copy out of band. */
function damage(id: string): void {
  const { fake } = replication.replica(id);
  fake.look('POST', recordsPath(id, 'delete'), '{"ids":["r1"]}');
  fake.look(
    'POST',
    recordsPath(id, 'upsert'),
    '{"ids":["r2"],"documents":["edited"],"metadatas":[{"stray":1}]}',
  );
  fake.look('POST', recordsPath(id, 'add'), '{"ids":["stray"],"embeddings":[[7]]}');
}

/** The collections that a node has in the database of the one collection. */
const namesOn = (id: string): string[] =>
  (JSON.parse(replication.replica(id).fake.look('GET', COLLECTIONS).text) as { name: string }[]).map(
    ({ name }) => name,
  );

async function healed(id: string): Promise<void> {
  await replication.until(() => !isSuspect(id), `the copy of ${id} is healed`, { stepMs: 50 });
}

/** Every copy holds what the log implies, in one order, whichever node it was rebuilt from. */
async function allEqual(): Promise<string> {
  await replication.caughtUp();
  const contents = new Set(replication.replicas.map(({ id }) => replication.content(id)));
  expect(contents.size).toBe(1);
  return [...contents][0]!;
}

async function holdingRecords(count: number, ...nodes: string[]): Promise<void> {
  await following(...nodes);
  for (let n = 0; n < count; n++) replication.write('upsert', upsert(`r${n}`, n));
  await replication.caughtUp();
}

describe('a copy that differs', () => {
  beforeEach(() => holdingRecords(200, 'a', 'b', 'c'));

  test.each(['a', 'b'])(
    'is healed on node %s, and the old one is dropped after the grace period',
    async (id) => {
      damage(id);
      await replication.suspect(id);
      await healed(id);
      const content = await allEqual();
      expect(content).not.toContain('stray');
      expect(namesOn(id)).toHaveLength(2);
      await replication.clock.pass(GRACE_MS + 10_000, 500);
      expect(namesOn(id)).toEqual([expect.stringMatching(/^copy-/)]);
      expect(await allEqual()).toBe(content);
    },
  );

  test('is healed from a replica, not from the primary', async () => {
    const contentReads = (id: string): number =>
      replication.replica(id).fake.executed.filter(({ body }) => body.includes('"embeddings","documents"'))
        .length;
    await replication.suspect('c');
    await healed('c');
    expect([replication.primary, contentReads('a'), contentReads('b') > 0]).toEqual(['a', 0, true]);
  });

  test('is not healed from a node that a delayed call may still change', async () => {
    for (const id of ['a', 'b']) replication.replica(id).fake.plan(writing('"1"'), 'late');
    replication.write('upsert', upsert('x', 1));
    replication.write('upsert', upsert('x', 2));
    await replication.caughtUp();
    await replication.suspect('c');
    replication.replica('b').fake.runLate();
    replication.replica('a').fake.runLate();
    await replication.until(() => isSuspect('a') && isSuspect('b'), 'the differences are found');
    expect(isSuspect('c')).toBe(true);
  });

  test('is not healed from a node that may show an entry beyond its checkpoint', async () => {
    // Sent to both, as far as is known, and not applied: it may be quarantined yet.
    const next = Math.max(...replication.replicas.map(({ checkpoint }) => checkpoint)) + 1;
    for (const id of ['a', 'b']) replication.positions.sending(id, SHARD, next);
    await replication.suspect('c');
    await replication.clock.pass(5_000, 100);
    expect(isSuspect('c')).toBe(true);
    replication.write('upsert', upsert('x', 1));
    await healed('c');
    await allEqual();
  });

  test('stays out of use while no other node has a healthy copy, and is healed once one has', async () => {
    for (const id of ['a', 'b', 'c']) await replication.suspect(id);
    await replication.clock.pass(30_000, 500);
    expect(['a', 'b', 'c'].map(isSuspect)).toEqual([true, true, true]);
    expect(replication.rebuilds.waiting).toHaveLength(3);
    expect(replication.rebuilds.waiting[0]!.reason).toBe('no other node has a healthy copy of it');
    expect(namesOn('a')).toEqual(['pears']);
  });

  test('leaves the copy that it replaced while no copy in use is healthy (R35)', async () => {
    damage('b');
    await replication.suspect('b');
    await healed('b');
    for (const id of ['a', 'b', 'c']) await replication.suspect(id);
    await replication.clock.pass(GRACE_MS + 10_000, 500);
    expect(namesOn('b')).toHaveLength(2);
  });

  test('follows renames and the deletion of its collection after it was healed', async () => {
    damage('b');
    await replication.suspect('b');
    await healed('b');
    replication.modify('{"new_name":"plums"}', 'plums');
    await replication.caughtUp();
    expect(namesOn('b')).toContain('plums');
    replication.drop('plums');
    await replication.caughtUp();
    await replication.clock.pass(GRACE_MS + 10_000, 500);
    expect(['a', 'b', 'c'].map(namesOn)).toEqual([[], [], []]);
  });

  test('leaves its name to the next collection of that name while the old copy waits to be dropped', async () => {
    damage('b');
    await replication.suspect('b');
    await healed('b');
    replication.drop('pears');
    replication.create();
    const lsn = replication.write('upsert', upsert('new', 1));
    await replication.until(() => replication.replica('b').checkpoint >= lsn, 'the node goes on');
    expect(await allEqual()).toContain('"ids":["new"]');
  });
});

/** Stops an applier between two rounds. */
async function holdApplier(id: string): Promise<{ release: () => void }> {
  const holding = replication.replica(id).applier.hold(new AbortController().signal);
  let held: { release: () => void } | null = null;
  void holding.then((reached) => (held = reached));
  await replication.until(() => held !== null, 'the applier is held');
  return held!;
}

test('a primary is held for at most 300 ms while it is copied from, however slowly it responds (R24)', async () => {
  await holdingRecords(50, 'a', 'b');
  const { applier, fake } = replication.replica('a');
  const hold = applier.hold.bind(applier);
  const heldMs: number[] = [];
  applier.hold = async (signal) => {
    const held = await hold(signal);
    if (held === null) return null;
    const since = replication.clock.monotonic();
    const release = (): void => {
      heldMs.push(replication.clock.monotonic() - since);
      held.release();
    };
    return { ...held, release };
  };
  fake.plan(({ path }) => path.endsWith('/count') && !isReserved({ path }), { slowMs: 5_000 }, 2);
  await replication.suspect('b');
  await healed('b');
  expect(heldMs.length).toBeGreaterThan(2);
  expect(Math.max(...heldMs)).toBeLessThanOrEqual(300);
  await allEqual();
});

describe('while a copy is rebuilt', () => {
  const page = ({ path, body }: { path: string; body: string }): boolean =>
    path.endsWith('/get') && body.includes('"embeddings","documents"');
  const insert = ({ path, body }: { path: string; body: string }): boolean =>
    path.endsWith('/add') && body.includes('"ids":["r0"');

  beforeEach(() => holdingRecords(300, 'a', 'b', 'c'));

  /** Begins a rebuild of the copy of `b` from `c`, which pauses with its first page read. */
  async function paused(): Promise<void> {
    damage('b');
    replication.replica('c').fake.plan(page, 'hang');
    await replication.suspect('b');
    await replication.until(() => replication.replica('c').fake.hanging > 0, 'the first page is being read');
  }
  const resume = (): void => replication.replica('c').fake.release();

  test('records that the log adds, replaces, deletes and adds again are copied as they are', async () => {
    await paused();
    replication.write('upsert', '{"ids":["r5"],"embeddings":[[1]],"metadatas":[{"a":1,"b":2}]}');
    replication.write('update', '{"ids":["r5"],"metadatas":[{"a":null,"c":1.0}]}');
    replication.write('delete', '{"ids":["r6","r7"]}');
    replication.write('add', '{"ids":["r7","new"],"embeddings":[[3],[4]]}');
    replication.write('delete', '{"where_document":{"$contains":"29"}}');
    resume();
    await healed('b');
    const content = await allEqual();
    expect(content).toContain('"new"');
  });

  test('entries that are in the copy already are not applied to it again', async () => {
    damage('b');
    const held = await holdApplier('b');
    // Applied again, the first would move the record behind the second.
    replication.write('delete', '{"ids":["r6"]}');
    replication.write('add', '{"ids":["r6"],"embeddings":[[3]]}');
    replication.write('add', '{"ids":["new"],"embeddings":[[4]]}');
    replication.write('delete', '{"where_document":{"$contains":"29"}}');
    await replication.caughtUp('a', 'c');
    await replication.suspect('b');
    await healed('b');
    held.release();
    expect(await allEqual()).toContain('"r6","new"]');
  });

  test.each([
    ['its metadata is modified', () => replication.modify('{"new_metadata":{"k":1}}'), ['pears', 'copy']],
    ['it is renamed', () => replication.modify('{"new_name":"plums"}', 'plums'), ['plums', 'copy']],
  ])('it begins anew when %s', async (_, change) => {
    await paused();
    change();
    resume();
    await healed('b');
    await allEqual();
    const bodies = replication.replicas.map(({ id, fake, assigned }) => {
      const { text } = fake.look('GET', `${COLLECTIONS}/${assigned.get(SHARD)!.name}`);
      return JSON.stringify((JSON.parse(text) as { metadata: unknown }).metadata ?? id.slice(1));
    });
    expect(new Set(bodies).size).toBe(1);
  });

  test('it is given up when the collection is deleted', async () => {
    await paused();
    replication.drop();
    resume();
    await replication.caughtUp();
    await replication.clock.pass(GRACE_MS + 20_000, 500);
    expect(['a', 'b', 'c'].map(namesOn)).toEqual([[], [], []]);
  });

  test.each(['b', 'c'])('the process of node %s may end', async (id) => {
    await paused();
    const writes = replication.write('upsert', upsert('r9', 1));
    expect(writes).toBeGreaterThan(0);
    replication.restart(id);
    resume();
    await healed('b');
    await allEqual();
  });

  test('appends are slowed while each pass finds as many touched records as the one before (R31)', async () => {
    const ids = Array.from({ length: 300 }, (_, n) => `r${n}`);
    const touchAll = JSON.stringify({ ids, embeddings: ids.map((_, n) => [n]) });
    slowDown(seededRandom(1));
    await replication.suspect('b');
    const { backPressure } = replication;
    let longestMs = 0;
    for (let step = 0; longestMs < 20 && step < 500; step++) {
      replication.write('upsert', touchAll);
      await replication.clock.pass(20, 5);
      longestMs = Math.max(longestMs, backPressure.delayMs());
    }
    expect(longestMs).toBeGreaterThanOrEqual(20);
    await healed('b');
    await allEqual();
    expect(backPressure.delayMs()).toBe(0);
  });

  test('a call without a response makes it begin anew under another name', async () => {
    damage('b');
    replication.replica('b').fake.plan(insert, 'late');
    await replication.suspect('b');
    await healed('b');
    replication.replica('b').fake.runLate();
    await allEqual();
  });

  test('the term may end: the next one resumes it', async () => {
    await paused();
    replication.storage.endTerm();
    resume();
    await healed('b');
    await allEqual();
    const creates = replication
      .replica('b')
      .fake.executed.filter(
        ({ method, path, body }) => method === 'POST' && path === COLLECTIONS && body.includes('copy-'),
      );
    expect(creates).toHaveLength(1);
  });
});

/** Calls take some time, so that the log goes on between any two of them. */
function slowDown(random: () => number): void {
  for (const { fake } of replication.replicas)
    fake.choose = ({ path }) => (isReserved({ path }) ? null : { slowMs: Math.ceil(random() * 20) });
}

/** A write that touches some of the records, in every way there is. */
function touch(random: () => number, step: number): void {
  const pick = (count: number): number => Math.floor(random() * count);
  const ids = [`r${pick(80)}`];
  const kinds: readonly (() => number)[] = [
    () => replication.write('delete', JSON.stringify({ ids })),
    () =>
      replication.write('update', JSON.stringify({ ids, metadatas: [{ [`k${pick(3)}`]: null, n: step }] })),
    () =>
      replication.write(
        'add',
        JSON.stringify({ ids, embeddings: [[step]], metadatas: [{ [`k${pick(3)}`]: 1 }] }),
      ),
    () => replication.write('upsert', upsert(ids[0]!, step)),
    () => replication.write('delete', JSON.stringify({ where_document: { $contains: `${step}` } })),
  ];
  kinds[pick(kinds.length)]!();
}

test.each(Array.from({ length: 4 }, (_, seed) => seed))(
  'seed %i: a copy is healed under writes, and another when servers restart meanwhile',
  async (seed) => {
    const random = seededRandom(seed);
    await holdingRecords(100, 'a', 'b', 'c');
    slowDown(random);
    for (const [id, restarts] of [
      ['abc'[seed % 3]!, false],
      ['abc'[(seed + 1) % 3]!, true],
    ] as const) {
      damage(id);
      await replication.suspect(id);
      for (let step = 0; isSuspect(id) && step < 3_000; step++) {
        if (step < 1_500) touch(random, step);
        if (restarts && step < 200 && random() < 0.01) replication.restart('abc'[Math.floor(random() * 3)]!);
        await replication.clock.pass(20, 5);
      }
      await healed(id);
    }
    await allEqual();
  },
);
