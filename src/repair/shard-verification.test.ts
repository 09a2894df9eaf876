import { beforeEach, describe, expect, test } from 'vitest';
import { FakeCopy } from '../../test/support/fake-copy.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { sleep } from '../util/clock.ts';
import { LogDamaged, LogTrimmed, type Entry } from '../log/entry.ts';
import { ShardVerification, type ShardReport, type ShardVerificationOptions } from './shard-verification.ts';

const SHARD = '00000000-0000-4000-8000-000000000001';
const TERM: Term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => true };

let copies: Record<string, FakeCopy>;
let suspects: Map<string, string>;
let events: string[];
let log: Entry[];
let trimmed: number;
let verification: ShardVerification;
let position: number;
let serving: string[];
/** Nodes whose copy was made from another node's. */
let copied: Set<string>;

beforeEach(() => {
  copies = { a: new FakeCopy(20), b: new FakeCopy(20), c: new FakeCopy(20) };
  suspects = new Map();
  events = [];
  log = [];
  trimmed = 100;
  position = 0;
  serving = ['a', 'b', 'c'];
  copied = new Set();
  build();
});

function build(options: Partial<ShardVerificationOptions> = {}): void {
  verification = new ShardVerification({
    log: {
      read: async (after, max) => log.filter(({ lsn }) => lsn > after && lsn <= after + max),
      lsnsOf: async () => log.map(({ lsn }) => lsn),
      head: async () => ({ trimmed }),
    },
    decisions: { find: async () => null, idPages: async function* () {}, exception: () => null },
    catalog: {
      collectionOfShard: () =>
        ({ tenant: 't', database: 'd', createdLSN: 1 }) as ReturnType<
          ShardVerificationOptions['catalog']['collectionOfShard']
        >,
      physical: (node) => {
        const copy = copied.has(node) ? 1 : 0;
        return { physical: 'p', name: 'pears', copy, suspect: suspects.get(node) ?? null };
      },
    },
    serving: () => serving,
    client: (node) => ({
      read: async (request) => ({
        headers: {},
        ...(await copies[node]!.read({ responseBytesMax: 1e9, ...request })),
      }),
    }),
    primary: () => 'a',
    applied: () => position,
    head: () => log.length,
    markSuspect: async (node, _shard, reason) => void suspects.set(node, reason),
    events: { record: (kind) => void events.push(kind) },
    clock: new ManualClock(),
    ...options,
  });
}

async function verify(nodes = Object.keys(copies), witnesses: readonly string[] = []): Promise<ShardReport> {
  const clock = new ManualClock();
  build({ clock });
  return passing(clock, verification.verify(SHARD, nodes, { term: TERM, witnesses }));
}

async function passing<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  const ended = new AbortController();
  work.catch(() => undefined).finally(() => ended.abort());
  while (!ended.signal.aborted) await clock.pass(200, 200);
  return work;
}

test('raises no alarm for equal copies', async () => {
  expect(await verify()).toEqual({ records: 20, uncompared: 0, suspects: [] });
  expect([suspects.size, events]).toEqual([0, []]);
});

describe('makes the copy suspect whose', () => {
  test.each<[string, (copy: FakeCopy) => void, string]>([
    ['record was edited', (c) => c.put('r3', { document: '"x"' }), 'the document of record "r3" differs'],
    ['record is missing', (c) => void c.records.delete('r3'), 'record "r3" is missing on b'],
    [
      'record is in no filter by document',
      (c) => c.filtered.set('r17', null),
      'filters by document do not see the document of record "r17"',
    ],
    [
      'record has another text in filters by document',
      (c) => c.filtered.set('r17', 'x'),
      'filters by document do not see the document of record "r17"',
    ],
    [
      'index misses its records',
      (c) => [...c.records.keys()].forEach((id) => c.unindexed.add(id)),
      'its index',
    ],
    ['reads fail', (c) => (c.onRead = (action) => (action === 'get' ? 500 : null)), 'cannot be read'],
    [
      'searches fail',
      (c) => (c.onRead = (action) => (action === 'query' ? 500 : null)),
      'cannot be searched',
    ],
  ])('%s', async (_what, damage, reason) => {
    damage(copies['b']!);
    expect((await verify()).suspects).toEqual(['b']);
    expect(suspects.get('b')).toContain(reason);
    // A suspect copy takes part in nothing.
    expect((await verify()).suspects).toEqual([]);
  });
});

test('asks the witnesses only once two copies differ, and follows the majority', async () => {
  expect((await verify(['a', 'b'], ['c'])).suspects).toEqual([]);
  expect(copies['c']!.reads).toEqual([]);
  // The primary is the one that is wrong.
  copies['a']!.put('r3', { document: '"x"' });
  expect((await verify(['a', 'b'], ['c'])).suspects).toEqual(['a']);
});

test('lets nodes rest after each read, and reads one at a time', async () => {
  const clock = new ManualClock();
  build({ clock });
  let reads = 0;
  let inFlight = 0;
  let inFlightMax = 0;
  for (const copy of Object.values(copies))
    copy.onRead = async () => {
      reads += 1;
      inFlightMax = Math.max(inFlightMax, ++inFlight);
      await sleep(clock, 10);
      inFlight -= 1;
      return null;
    };
  const ended = new AbortController();
  const work = verification.verify(SHARD, ['a', 'b'], { term: TERM, rest: 2 }).finally(() => ended.abort());
  while (!ended.signal.aborted) await clock.pass(10, 10);
  expect((await work).records).toBe(20);
  expect(inFlightMax).toBe(1);
  expect(clock.monotonic()).toBeGreaterThanOrEqual(3 * 10 * reads);
});

test('counts copies that were made from another as no votes: the primary is kept against them', async () => {
  copied = new Set(['b', 'c']);
  copies['a']!.put('r3', { document: '"x"' });
  expect((await verify()).suspects).toEqual(['b', 'c']);
  expect(events).toEqual(['copies_undecided']);
});

test('keeps the copy of the primary, and records an event, when nothing shows which of two is right', async () => {
  delete copies['c'];
  copies['a']!.put('r3', { document: '"x"' });
  expect((await verify()).suspects).toEqual(['b']);
  expect(events).toEqual(['copies_undecided']);
});

test.each([new LogTrimmed(1, 2), new LogDamaged(1, 'x')])(
  'decides without the log when it fails with $name',
  async (error) => {
    delete copies['c'];
    copies['a']!.put('r3', { document: '"x"' });
    const clock = new ManualClock();
    const lsnsOf = (): never => {
      throw error;
    };
    build({ clock, log: { read: async () => [], lsnsOf, head: async () => ({ trimmed }) } });
    const found = await passing(clock, verification.verify(SHARD, ['a', 'b'], { term: TERM }));
    expect(found.suspects).toEqual(['b']);
  },
);

test('follows the log, against the primary, when it holds everything since the record was written', async () => {
  delete copies['c'];
  trimmed = 0;
  const body = Buffer.from('{"ids":["r3"],"embeddings":[[3,1]],"documents":["r3"]}');
  log = [{ lsn: 2, kind: 'add', target: SHARD, header: '{}', body, batch: 'b', appendedAt: 0 }];
  position = 2;
  copies['a']!.put('r3', { document: '"x"' });
  expect((await verify()).suspects).toEqual(['a']);
  expect(events).toEqual([]);
});

test('checks the filters by document of a single copy', async () => {
  copies['b']!.filtered.set('r17', null);
  expect((await verify(['b'])).suspects).toEqual(['b']);
});

test('checks the index of a single copy', async () => {
  for (const id of copies['b']!.records.keys()) copies['b']!.unindexed.add(id);
  expect((await verify(['b'])).suspects).toEqual(['b']);
});

test('blames no index when every copy misses every record, and says so', async () => {
  for (const copy of Object.values(copies)) for (const id of copy.records.keys()) copy.unindexed.add(id);
  expect((await verify(['a', 'b'], ['c'])).suspects).toEqual([]);
  expect(events).toEqual(['copies_undecided']);
  copies['c']!.unindexed.clear();
  expect((await verify(['a', 'b'], ['c'])).suspects).toEqual(['a', 'b']);
});

test.each<[string, string[], number]>([
  ['on a node that does not serve', ['b'], 0],
  ['that lacks entries', ['a', 'b', 'c'], 1],
])('does not count a copy %s as one that can serve instead', async (_what, nodes, appliedByB) => {
  const clock = new ManualClock();
  for (const id of copies['b']!.records.keys()) copies['b']!.unindexed.add(id);
  serving = nodes;
  build({ clock, applied: (node) => (node === 'b' ? appliedByB : 0) });
  const found = await passing(clock, verification.verify(SHARD, ['b'], { term: TERM }));
  expect([found.suspects, suspects.size, events]).toEqual([[], 0, ['copies_undecided']]);
});

test('takes no single copy for unreadable while entries change the shard', async () => {
  copies['b']!.onRead = (action) => (action === 'get' ? 500 : null);
  const body = Buffer.from('{"ids":["r3"],"embeddings":[[1]]}');
  log = [{ lsn: 1, kind: 'upsert', target: SHARD, header: '{}', body, batch: 'b', appendedAt: 0 }];
  expect(await verify(['b'])).toEqual({ records: 0, uncompared: 1, suspects: [] });
  log = [];
  expect((await verify(['b'])).suspects).toEqual(['b']);
});

test.each([[['a', 'b']], [['b']]])('leaves what is too large on %j uncompared', async (nodes) => {
  copies['b']!.onRead = (action) => {
    if (action === 'get') throw new NodeError('too_large', 'the response is too large', { sent: true });
    return null;
  };
  expect(await verify(nodes)).toEqual({ records: 0, uncompared: 1, suspects: [] });
});

const upsertOf = (ids: readonly string[]): Entry => {
  const body = Buffer.from(JSON.stringify({ ids, embeddings: ids.map(() => [1]) }));
  return { lsn: 1, kind: 'upsert', target: SHARD, header: '{}', body, batch: 'b', appendedAt: 0 };
};

test('blames an index that misses records although entries keep changing others', async () => {
  for (const id of copies['b']!.records.keys()) copies['b']!.unindexed.add(id);
  log = [upsertOf(['r3'])];
  expect((await verify()).suspects).toEqual(['b']);
});

test('blames no index while entries change most of the records that it misses', async () => {
  for (const id of copies['b']!.records.keys()) copies['b']!.unindexed.add(id);
  log = [upsertOf([...copies['b']!.records.keys()].slice(1))];
  expect((await verify()).suspects).toEqual([]);
});

test('makes a copy suspect when reading it ends its server three times in a row', async () => {
  const clock = new ManualClock();
  build({ clock });
  const run = (): Promise<ShardReport> =>
    passing(clock, verification.verify(SHARD, ['a', 'b', 'c'], { term: TERM }));
  const die = (): never => {
    throw new NodeError('unanswered', 'the connection ended', { sent: true });
  };
  copies['b']!.onRead = die;
  await expect(run()).rejects.toBeInstanceOf(NodeError);
  await expect(run()).rejects.toBeInstanceOf(NodeError);
  copies['b']!.onRead = () => null;
  expect((await run()).suspects).toEqual([]);
  // A success in between: it was chance.
  copies['b']!.onRead = die;
  await expect(run()).rejects.toBeInstanceOf(NodeError);
  await expect(run()).rejects.toBeInstanceOf(NodeError);
  expect((await run()).suspects).toEqual(['b']);
  expect(suspects.get('b')).toContain('has ended the connections of the server');
});

test('does not blame a copy whose server ends hours apart', async () => {
  const clock = new ManualClock();
  build({ clock });
  copies['b']!.onRead = () => {
    throw new NodeError('unanswered', 'the connection ended', { sent: true });
  };
  for (let death = 0; death < 4; death++) {
    const run = passing(clock, verification.verify(SHARD, ['a', 'b', 'c'], { term: TERM }));
    await expect(run).rejects.toBeInstanceOf(NodeError);
    clock.advance(2 * 3_600_000);
  }
  expect(suspects.size).toBe(0);
});

test('ends with the term while a read hangs', async () => {
  const ends = new AbortController();
  build({
    client: () => ({
      read: ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new NodeError('aborted', 'cancelled')));
        }),
    }),
  });
  const run = verification.verify(SHARD, ['a', 'b'], { term: { ...TERM, signal: ends.signal } });
  ends.abort();
  await expect(run).rejects.toBeInstanceOf(TermOver);
});

test('does not blame a copy whose server ends at another read each time', async () => {
  const clock = new ManualClock();
  build({ clock });
  const dieAt = (action: string, count: number) => {
    let reads = 0;
    copies['b']!.onRead = (read) => {
      if (read === action && ++reads === count)
        throw new NodeError('unanswered', 'the connection ended', { sent: true });
      return null;
    };
  };
  for (const [action, count] of [
    ['get', 1],
    ['get', 2],
    ['query', 1],
    ['get', 1],
  ] as const) {
    dieAt(action, count);
    const run = passing(clock, verification.verify(SHARD, ['a', 'b', 'c'], { term: TERM }));
    await expect(run).rejects.toBeInstanceOf(NodeError);
  }
  expect(suspects.size).toBe(0);
});
