import { describe, expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { compareCopies, type ComparisonOptions, type ComparisonResult } from './copy-comparison.ts';
import { TermOver } from '../coordination/term.ts';
import type { TouchRange } from './touched-ids.ts';

const LOCATION = { tenant: 't', database: 'd', physical: 'p' };

interface Scene {
  /** Ids by the LSN of the entry that touches them. */
  readonly touches?: Map<number, string>;
  readonly applied?: (node: string) => number;
  readonly head?: () => number;
  readonly options?: Partial<ComparisonOptions>;
}

async function compare(
  copies: Readonly<Record<string, FakeCopy>>,
  { touches = new Map(), applied = () => 0, head = () => 0, options = {} }: Scene = {},
): Promise<ComparisonResult> {
  const clock = new ManualClock();
  const compared = Object.entries(copies).map(([node, { read }]) => ({ node, location: LOCATION, read }));
  const touched = async ({ after, upTo }: TouchRange) => {
    const ids = new Set([...touches].filter(([lsn]) => lsn > after && lsn <= upTo).map(([, id]) => id));
    return { has: (id: string) => ids.has(id), any: ids.size > 0 };
  };
  const ended = new AbortController();
  const result = compareCopies(compared, {
    rule: { isCosine: false },
    applied,
    head,
    touched,
    clock,
    signal: new AbortController().signal,
    onPage: async () => undefined,
    ...options,
  }).finally(() => ended.abort());
  result.catch(() => undefined);
  while (!ended.signal.aborted) await clock.pass(200, 200);
  return result;
}

test.each([
  [true, 1],
  [false, 3],
])('where clients come first (%s), reads from %i nodes at once at most', async (yields, most) => {
  const copies = { a: new FakeCopy(3_000), b: new FakeCopy(3_000), c: new FakeCopy(3_000) };
  for (const copy of Object.values(copies))
    for (let n = 0; n < 3_000; n++) copy.put(`r${n}`, { document: `"${'x'.repeat(1_000)}"` });
  copies.c.put('r2999', { document: '"other"' });
  let [reading, highest, pages] = [0, 0, 0];
  for (const copy of Object.values(copies))
    copy.onRead = async () => {
      highest = Math.max(highest, ++reading);
      await new Promise(setImmediate);
      reading -= 1;
      return null;
    };
  const onPage = async (): Promise<void> => void (pages += 1);
  const result = await compare(copies, { options: { yields, onPage } });
  expect([differences(result), highest]).toEqual([[['r2999', 'document', ['a+b', 'c']]], most]);
  // 3 MB in pages of 128 KiB or 1 MiB.
  expect(pages > 20).toBe(yields);
});

const differences = ({ differences: found }: ComparisonResult): unknown[] =>
  found.map(({ id, field, groups }) => [id, field, groups.map(({ nodes }) => nodes.join('+'))]);

test('finds no difference between equal copies, and reads every record', async () => {
  const copies = { a: new FakeCopy(3_000), b: new FakeCopy(3_000), c: new FakeCopy(3_000) };
  let records = 0;
  const onPage = async (count: number): Promise<void> => void (records += count);
  const result = await compare(copies, { options: { onPage } });
  expect([differences(result), result.unreadable.size, result.uncompared, result.ids.length]).toEqual([
    [],
    0,
    0,
    3_000,
  ]);
  expect(records).toBe(3_000);
});

describe('finds', () => {
  test.each([
    ['an edited document', (c: FakeCopy) => c.put('r7', { document: '"x"' }), ['r7', 'document']],
    ['edited metadata', (c: FakeCopy) => c.put('r7', { metadata: '{"n":1}' }), ['r7', 'metadata']],
    ['an edited uri', (c: FakeCopy) => c.put('r7', { uri: '"x"' }), ['r7', 'uri']],
    ['an edited vector', (c: FakeCopy) => c.put('r7', { embedding: '[7.0,1.0001]' }), ['r7', 'embedding']],
    ['a missing record', (c: FakeCopy) => void c.records.delete('r7'), ['r7', 'presence']],
    ['a stray record', (c: FakeCopy) => c.put('stray'), ['stray', 'presence']],
  ])('%s, and says which copies agree', async (_what, damage, [id, field]) => {
    const copies = { a: new FakeCopy(50), b: new FakeCopy(50), c: new FakeCopy(50) };
    damage(copies.b);
    expect(differences(await compare(copies))).toEqual([[id, field, ['a+c', 'b']]]);
  });

  test('another order of the records', async () => {
    const copies = { a: new FakeCopy(50), b: new FakeCopy(50) };
    const first = copies.b.records.get('r0')!;
    copies.b.records.delete('r0');
    copies.b.records.set('r0', first);
    expect(differences(await compare(copies))).toEqual([[null, 'order', ['a', 'b']]]);
  });

  test('three different contents', async () => {
    const copies = { a: new FakeCopy(5), b: new FakeCopy(5), c: new FakeCopy(5) };
    copies.b.put('r1', { document: '"x"' });
    copies.c.put('r1', { document: '"y"' });
    expect(differences(await compare(copies))).toEqual([['r1', 'document', ['a', 'b', 'c']]]);
  });

  test('a copy that its node cannot read although the others can', async () => {
    const copies = { a: new FakeCopy(5), b: new FakeCopy(5), c: new FakeCopy(5) };
    copies.c.onRead = (action) => (action === 'get' ? 500 : null);
    const result = await compare(copies);
    expect(result.unreadable).toEqual(new Map([['c', expect.stringContaining('HTTP 500')]]));
    expect(result.ids).toHaveLength(5);
  });

  test('a bounded number of differences', async () => {
    const copies = { a: new FakeCopy(500), b: new FakeCopy() };
    const result = await compare(copies);
    expect(result.differences).toHaveLength(20);
    expect(copies.a.reads.length).toBeLessThan(5);
  });
});

describe('while entries are applied', () => {
  test('ignores records that an entry touches between the reads, and compares them once they are quiet', async () => {
    const copies = { a: new FakeCopy(50), b: new FakeCopy(50) };
    const applied = { a: 10, b: 10 };
    let head = 10;
    // `a` has applied LSN 11 when it is read, and `b` applies it only after it was read.
    copies.a.put('r3', { document: '"new"' });
    copies.a.put('added');
    let reads = 0;
    copies.b.onRead = (action) => {
      if (action === 'get' && ++reads === 2) {
        copies.b.put('r3', { document: '"new"' });
        copies.b.put('added');
        applied.a = applied.b = 12;
      }
      head = 12;
      return null;
    };
    const result = await compare(copies, {
      touches: new Map([
        [11, 'r3'],
        [12, 'added'],
      ]),
      applied: (node) => applied[node as 'a' | 'b'],
      head: () => head,
    });
    expect([differences(result), result.uncompared]).toEqual([[], 0]);
    expect(reads).toBeGreaterThan(1);
  });

  test('finds a difference of a record that was touched, once it is quiet', async () => {
    const copies = { a: new FakeCopy(5), b: new FakeCopy(5) };
    copies.b.put('r3', { document: '"damaged"' });
    let position = 10;
    const result = await compare(copies, {
      touches: new Map([[11, 'r3']]),
      applied: () => position++,
      head: () => 11,
    });
    expect(differences(result)).toEqual([['r3', 'document', ['a', 'b']]]);
  });

  test('says nothing of a record that is touched all the time, and counts it', async () => {
    const copies = { a: new FakeCopy(5), b: new FakeCopy(5) };
    copies.b.put('r3', { document: '"in between"' });
    const result = await compare(copies, {
      touches: new Map([[11, 'r3']]),
      applied: () => 10,
      head: () => 11,
    });
    expect([differences(result), result.uncompared]).toEqual([[], 1]);
  });

  test('does not take a server that fails reads during a first write for unreadable', async () => {
    const copies = { a: new FakeCopy(5), b: new FakeCopy(5) };
    let failures = 0;
    copies.b.onRead = () => (failures++ < 7 ? 500 : null);
    const result = await compare(copies, {
      touches: new Map([0, 1, 2, 3, 4].map((n) => [11 + n, `r${n}`])),
      applied: () => (failures > 6 ? 15 : 10),
      head: () => 15,
    });
    expect([result.unreadable.size, differences(result)]).toEqual([0, []]);
  });
});

test('finds a copy that cannot be read while entries keep touching other records of it', async () => {
  const copies = { a: new FakeCopy(20), b: new FakeCopy(20) };
  copies.b.onRead = (action) => (action === 'get' ? 500 : null);
  let lsn = 0;
  const touches = new Map(Array.from({ length: 1_000 }, (_, index) => [index, 'r3']));
  const result = await compare(copies, { touches, applied: () => lsn, head: () => ++lsn });
  expect([...result.unreadable.keys()]).toEqual(['b']);
});

test('ends with what it found when the rest is too large, and says that it is not all', async () => {
  const copies = { a: new FakeCopy(500), b: new FakeCopy(500) };
  copies.a.put('r1', { document: '"x"' });
  let reads = 0;
  let readsMax = 3;
  copies.b.onRead = () => {
    if (++reads > readsMax) throw new NodeError('too_large', 'the response is too large', { sent: true });
    return null;
  };
  const result = await compare(copies);
  expect(differences(result)).toEqual([['r1', 'document', ['a', 'b']]]);
  expect(result.uncompared).toBeGreaterThan(0);
  readsMax = 0;
  expect(await compare(copies)).toMatchObject({ differences: [], ids: [], uncompared: 1 });
});

test('ends without a finding when no copy can be read', async () => {
  const copies = { a: new FakeCopy(5), b: new FakeCopy(5) };
  copies.a.onRead = copies.b.onRead = () => 500;
  expect(await compare(copies)).toMatchObject({ differences: [], ids: [], uncompared: 1 });
});

test.each([
  ['equal lists', 0],
  ['lists of another order', 1],
])('lets the event loop continue while it compares %s of ids', async (_what, moved) => {
  const idsPerTurn = 4_096;
  const turns = 25;
  const ids = Array.from({ length: turns * idsPerTurn }, (_, index) => `r${index}`);
  const responses = [ids, [...ids.slice(moved), ...ids.slice(0, moved)]].map((list) =>
    Buffer.from(JSON.stringify({ ids: list })),
  );
  // Only the ids are read: the first page ends it.
  const reads = [0, 0];
  const copies = responses.map((body, at) => {
    const copy = new FakeCopy();
    const read = async () => {
      if (reads[at]! > 0) throw new NodeError('timeout', 'no response');
      reads[at]! += 1;
      return { status: 200, body };
    };
    return Object.assign(copy, { read });
  });
  let turned = 0;
  let isOver = false;
  const count = (): void => {
    turned += 1;
    if (!isOver) setImmediate(count);
  };
  count();
  const run = compare({ a: copies[0]!, b: copies[1]! }).finally(() => (isOver = true));
  await expect(run).rejects.toBeInstanceOf(NodeError);
  // Decoding takes 25 turns; comparing equal lists 25 more; joining and filtering two lists 25 each.
  expect(turned).toBeGreaterThan((moved === 0 ? 2 : 5) * turns - 10);
});

test('ends when its signal aborts', async () => {
  const controller = new AbortController();
  const copies = { a: new FakeCopy(500), b: new FakeCopy(500) };
  copies.a.onRead = () => {
    controller.abort();
    return null;
  };
  await expect(compare(copies, { options: { signal: controller.signal } })).rejects.toBeInstanceOf(TermOver);
});
