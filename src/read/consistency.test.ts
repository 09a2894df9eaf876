// I6: how far a node must be for a read.

import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { ReadFloors, servedLevel, type Consistency } from './consistency.ts';
import { SessionFloors } from './session-floors.ts';
import { ShardHeads } from './shard-heads.ts';
import { ShardLSNs } from './shard-lsns.ts';

const AT_START = { schema: 6, shards: new Map([['busy', 8]]), otherShards: 5 };
/** What another gateway has appended to the shard. */
const FOREIGN = 15;
const KNOWN_HEAD = 20;
const HEAD = 30;

let clock: ManualClock;
let floors: SessionFloors;
let heads: ShardHeads;
let available: boolean;
/** Number of times that PostgreSQL was asked. */
let queries: number;

beforeEach(() => {
  clock = new ManualClock();
  floors = new SessionFloors(AT_START);
  available = true;
  queries = 0;
  heads = new ShardHeads({
    clock,
    ask: async () => {
      queries += 1;
      if (!available) throw new Error('no connection');
      return { head: HEAD, shards: new Map([['shard', FOREIGN]]) };
    },
  });
});

const floorOf = (
  headers: Record<string, string> = {},
  level: Consistency = 'session',
  shard = 'shard',
): Promise<number> =>
  new ReadFloors({
    floors,
    heads,
    knownShard: () => null,
    knownHead: () => KNOWN_HEAD,
    level: (named) => named ?? level,
    boundedLagMs: 1_000,
  }).of(headers, shard);
const at = (level: string): Promise<number> => floorOf({ 'x-polychrome-consistency': level });

const acknowledged = (shard: string, lsn: number): void =>
  floors.acknowledged({ type: 'records', shard, call: {} as RecordCall }, lsn);

describe('at level session, a read must see', () => {
  test('what this gateway acknowledged on the collection', async () => {
    acknowledged('shard', 9);
    acknowledged('another', 12);
    expect(await floorOf()).toBe(9);
    expect(await floorOf({ 'x-polychrome-consistency': 'session' }, 'eventual')).toBe(9);
    expect(queries).toBe(0);
  });

  test('what any gateway can have acknowledged before this one started', async () => {
    expect(await floorOf()).toBe(AT_START.otherShards);
    expect(await floorOf({}, 'session', 'busy')).toBe(8);
    expect(floors.schema).toBe(AT_START.schema);
  });

  test('what gateways that are gone can have acknowledged', async () => {
    acknowledged('busy', 12);
    floors.raiseShards(
      new ShardLSNs(
        7,
        new Map([
          ['busy', 9],
          ['shard', 10],
        ]),
      ),
    );
    expect(await floorOf()).toBe(10);
    expect(await floorOf({}, 'session', 'busy')).toBe(12);
    expect(await floorOf({}, 'session', 'other')).toBe(7);
  });
});

test('at level eventual, a read must see nothing in particular', async () => {
  acknowledged('shard', 9);
  expect(await floorOf({}, 'eventual')).toBe(0);
  expect(await at('eventual')).toBe(0);
});

describe('at level strong', () => {
  test('a read must see what any gateway appended before it', async () => {
    expect(await at('strong')).toBe(FOREIGN);
    expect(await floorOf({}, 'strong')).toBe(FOREIGN);
    expect(queries).toBe(2);
  });

  test('a read is refused when PostgreSQL does not respond', async () => {
    available = false;
    await expect(at('strong')).rejects.toMatchObject({ code: 'log_unavailable' });
    expect(await at('session')).toBe(AT_START.otherShards);
  });
});

describe('at level bounded', () => {
  test('PostgreSQL is asked no more often than the bound allows', async () => {
    expect(await at('bounded')).toBe(FOREIGN);
    await clock.pass(900);
    expect(await at('bounded')).toBe(FOREIGN);
    expect(queries).toBe(1);
    expect(await at('bounded=500')).toBe(FOREIGN);
    expect(queries).toBe(2);
    await clock.pass(1_100);
    expect(await floorOf({}, 'bounded')).toBe(FOREIGN);
    expect(queries).toBe(3);
  });

  test('a read is refused once the bound is exceeded and the lag is unknown', async () => {
    await at('bounded');
    available = false;
    await clock.pass(900);
    expect(await at('bounded')).toBe(FOREIGN);
    await clock.pass(200);
    await expect(at('bounded')).rejects.toMatchObject({ code: 'log_unavailable' });
  });
});

describe('a read must see at least what an earlier response showed its client', () => {
  test('at every level', async () => {
    expect(await floorOf({ 'x-polychrome-lsn': '20' })).toBe(20);
    expect(await floorOf({ 'x-polychrome-lsn': '20' }, 'eventual')).toBe(20);
    expect(await floorOf({ 'x-polychrome-lsn': '2' })).toBe(AT_START.otherShards);
    expect(queries).toBe(0);
    expect(await floorOf({ 'x-polychrome-lsn': '20' }, 'strong')).toBe(20);
  });

  test('when another gateway gave the response', async () => {
    expect(await floorOf({ 'x-polychrome-lsn': '30' })).toBe(30);
    available = false;
    await expect(floorOf({ 'x-polychrome-lsn': '30' })).rejects.toMatchObject({ code: 'log_unavailable' });
  });
});

describe('a read is served', () => {
  const source = { hasOthers: true, sharesPort: false, echoes: false };

  test.each([
    [null, { ...source, hasOthers: false, echoes: true }, 'session'],
    [null, source, 'strong'],
    ['session', source, 'session'],
    ['session', { ...source, sharesPort: true }, 'strong'],
    ['bounded=250', source, 'bounded=250'],
    // What was in flight at an earlier read may be on one node only.
    ['session', { ...source, echoes: true }, 'strong'],
    ['bounded=250', { ...source, echoes: true }, 'strong'],
    ['eventual', { ...source, echoes: true }, 'eventual'],
    ['session', { hasOthers: false, sharesPort: true, echoes: true }, 'session'],
  ])('that asks for %s, of %j, at level %s', (asked, of, level) => {
    expect(servedLevel(asked, of)).toBe(level);
  });

  test('at the level that it names, when it echoes an LSN', async () => {
    const asked: unknown[] = [];
    const reads = new ReadFloors({
      floors,
      heads,
      knownShard: () => 18,
      knownHead: () => KNOWN_HEAD,
      level: (named, echoes) => (asked.push([named, echoes]), 'strong'),
      boundedLagMs: 1_000,
    });
    expect(await reads.of({ 'x-polychrome-lsn': '9' }, 'shard')).toBe(18);
    await reads.of({ 'x-polychrome-lsn': '9', 'x-polychrome-consistency': 'bounded=5' }, 'shard');
    await reads.of({}, 'shard');
    expect(asked).toEqual([
      [null, true],
      ['bounded', true],
      [null, false],
    ]);
  });
});

test.each([
  [{ 'x-polychrome-lsn': '-1' }],
  [{ 'x-polychrome-lsn': '1e3' }],
  [{ 'x-polychrome-lsn': '31' }],
  [{ 'x-polychrome-consistency': 'strict' }],
  [{ 'x-polychrome-consistency': 'bounded=' }],
  [{ 'x-polychrome-consistency': 'strong=5' }],
])('a read with %j is refused', async (headers) => {
  await expect(floorOf(headers)).rejects.toMatchObject({ code: 'invalid_argument' });
});
