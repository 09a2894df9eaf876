// I6: how far a node must be for a read.

import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordCall } from '../chroma/record-call.ts';
import { SessionFloors } from './floors.ts';
import type { Names } from './names.ts';
import type { Wanted } from './node-choice.ts';
import { BodyJudge } from './body-judge.ts';
import { RecordReads, type Consistency } from './record-reads.ts';
import type { Reader } from './reads.ts';
import { RecordCache } from './record-cache.ts';
import { ResultCache } from './result-cache.ts';
import type { ClientRequest } from './server.ts';
import { ShardLSNs } from './shard-lsns.ts';

const HEAD_AT_START = 5;

let floors: SessionFloors;
let asked: Omit<Wanted, 'except'>[];

beforeEach(() => {
  floors = new SessionFloors(HEAD_AT_START);
  asked = [];
});

/** The floor a count was asked with. */
async function floorOf(
  headers: Record<string, string> = {},
  consistency: Consistency = 'session',
): Promise<number> {
  const collection = {
    tenant: 't',
    database: 'd',
    id: 'c',
    shards: [{ id: 'shard', dimension: 1, lastLSN: 0 }],
  };
  const reader = {
    read: async (wanted: Omit<Wanted, 'except'>) => (
      asked.push(wanted),
      { status: 200, body: Buffer.from('0') }
    ),
  };
  const heads = new ShardLSNs(0);
  const { handlers } = new RecordReads({
    reader: reader as unknown as Reader,
    names: { byId: async () => collection } as unknown as Names,
    judge: new BodyJudge(() => null),
    floors,
    heads,
    cache: new ResultCache(0),
    records: new RecordCache({ bytesMax: 0, heads, head: 0, isTold: () => true }),
    consistency,
    head: () => 1_000_000,
    serving: () => 1,
    clock: new ManualClock(),
  });
  const query = new URLSearchParams();
  const request = { headers, query, params: {}, body: Buffer.alloc(0), signal: new AbortController().signal };
  await handlers.count(request as unknown as ClientRequest);
  return asked.at(-1)!.floor;
}

const acknowledged = (shard: string, lsn: number): void =>
  floors.acknowledged({ type: 'records', shard, call: {} as RecordCall }, lsn);

describe('a read must see', () => {
  test('what this gateway acknowledged on the collection', async () => {
    acknowledged('shard', 9);
    acknowledged('another', 12);
    expect(await floorOf()).toBe(9);
  });

  test('what any gateway may have acknowledged before this one started', async () => {
    expect(await floorOf()).toBe(HEAD_AT_START);
  });

  test('nothing in particular at the level `eventual`, by setting or by header', async () => {
    acknowledged('shard', 9);
    expect(await floorOf({}, 'eventual')).toBe(0);
    expect(await floorOf({ 'x-polychrome-consistency': 'eventual' })).toBe(0);
    expect(await floorOf({ 'x-polychrome-consistency': 'session' }, 'eventual')).toBe(9);
  });

  test('at least what an earlier answer showed its client', async () => {
    expect(await floorOf({ 'x-polychrome-lsn': '20' })).toBe(20);
    expect(await floorOf({ 'x-polychrome-lsn': '20' }, 'eventual')).toBe(20);
    expect(await floorOf({ 'x-polychrome-lsn': '2' })).toBe(HEAD_AT_START);
  });

  test.each([
    [{ 'x-polychrome-lsn': '-1' }],
    [{ 'x-polychrome-lsn': '1e3' }],
    [{ 'x-polychrome-consistency': 'strong' }],
  ])('or is refused with %j', async (headers) => {
    await expect(floorOf(headers)).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(asked).toEqual([]);
  });
});
