// I6: how far a node must be for a read.

import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { until } from '../../../test/support/until.ts';
import { collectionMissing } from '../../chroma/protocol/messages.ts';
import type { RecordCall } from '../../chroma/parse/record-call.ts';
import { PolychromeError } from '../../errors.ts';
import { SessionFloors } from '../../read/session-floors.ts';
import type { Names } from './resolve.ts';
import type { ReadRequirements } from '../../read/node-selection.ts';
import { BodyProbe } from './body-probe.ts';
import { RecordReads, type Consistency, type RecordReadsOptions } from './record-reads.ts';
import type { Reader } from '../../read/reader.ts';
import { RecordCache } from '../../read/record-cache.ts';
import { ResultCache } from '../../read/result-cache.ts';
import type { ClientRequest } from '../../http/router.ts';
import { ShardLSNs } from '../../read/shard-lsns.ts';

const HEAD_AT_START = 5;

let floors: SessionFloors;
let asked: ReadRequirements[];

beforeEach(() => {
  floors = new SessionFloors(HEAD_AT_START);
  asked = [];
});

function optionsOf(consistency: Consistency): RecordReadsOptions {
  const heads = new ShardLSNs(0);
  return {
    reader: {} as Reader,
    names: {} as Names,
    bodyProbe: new BodyProbe(() => null),
    floors,
    heads,
    cache: new ResultCache(0),
    records: new RecordCache({ bytesMax: 0, heads, head: 0, isCurrent: () => true }),
    consistency,
    head: () => 1_000_000,
    serving: () => 1,
    clock: new ManualClock(),
    stopped: new AbortController().signal,
  };
}

function requestOf(headers: Record<string, string>, body = Buffer.alloc(0)): ClientRequest {
  const query = new URLSearchParams();
  const request = { headers, query, params: {}, body, signal: new AbortController().signal };
  return request as unknown as ClientRequest;
}

/** The floor a count was asked with. */
async function floorOf(
  headers: Record<string, string> = {},
  consistency: Consistency = 'session',
): Promise<number> {
  const collection = {
    tenant: 't',
    database: 'd',
    id: 'c',
    shards: [{ id: 'shard', dimension: 1 }],
  };
  const reader = {
    read: async (wanted: ReadRequirements) => (asked.push(wanted), { status: 200, body: Buffer.from('0') }),
  };
  const { handlers } = new RecordReads({
    ...optionsOf(consistency),
    reader: reader as unknown as Reader,
    names: { byId: async () => collection } as unknown as Names,
  });
  await handlers.count(requestOf(headers));
  return asked.at(-1)!.floor;
}

describe('a read of a collection that is missing', () => {
  const FAULT = { status: 422, body: 'unreadable' };
  let shown: string[];
  let told: (() => void)[];

  beforeEach(() => {
    shown = [];
    told = [];
  });

  /** Reads whose bodies are faulty, as is said when those in `told` are called. */
  function reads(
    error: PolychromeError,
  ): (action: 'get' | 'query', body: string | Buffer) => Promise<unknown> {
    const bodyProbe = {
      refusalOf: (_action: string, body: Buffer) => {
        shown.push(body.toString());
        return new Promise((resolve) => told.push(() => resolve(FAULT)));
      },
    };
    const names = { byId: () => Promise.reject(error) };
    const { handlers } = new RecordReads({
      ...optionsOf('session'),
      names: names as unknown as Names,
      bodyProbe: bodyProbe as unknown as BodyProbe,
    });
    return (action, body) => handlers[action](requestOf({}, Buffer.from(body as string)));
  }

  const shownToNode = (count: number): Promise<void> =>
    until(async () => told.length === count, 'bodies are shown to a node');

  const MISSING = collectionMissing({ modern: true }, 'c');

  test.each([
    ['get', '{"ids":["a"]}'],
    ['get', '{"ids":["a"],"include":["documents"],"where":null}'],
    ['query', '{"query_embeddings":[[1,2]],"n_results":3,"include":["distances"]}'],
  ] as const)('is no work for a node when it is plain: %s %s', async (action, body) => {
    await expect(reads(MISSING)(action, body)).rejects.toBe(MISSING);
    expect(shown).toEqual([]);
  });

  test.each([
    ['get', '{"limit":"x"}'],
    ['get', '{"ids":["a"],"where":1}'],
    ['get', '{"ids":["a"],"include":["nothing"]}'],
    ['query', '{}'],
    ['query', '{"query_embeddings":[[1,2]],"include":["nothing"]}'],
    ['query', '{"query_embeddings":[[1,2]],"ids":[1]}'],
    ['get', Buffer.from('{"ids":["\u00ff"]}', 'latin1')],
  ] as const)('is refused as a node refuses it: %s %s', async (action, body) => {
    const answer = reads(MISSING)(action, body);
    await shownToNode(1);
    told[0]?.();
    expect(await answer).toEqual(FAULT);
  });

  test('is shown to a node a few at a time', async () => {
    const read = reads(MISSING);
    const judged = Array.from({ length: 4 }, () => read('query', '{}'));
    await shownToNode(4);
    await expect(read('query', '{}')).rejects.toBe(MISSING);
    for (const tell of told) tell();
    expect(await Promise.all(judged)).toEqual([FAULT, FAULT, FAULT, FAULT]);
    const next = read('query', '{}');
    await shownToNode(5);
    told.at(-1)?.();
    expect(await next).toEqual(FAULT);
  });

  test('is not shown to a node when something else is wrong', async () => {
    const reserved = new PolychromeError('reserved', 'reserved');
    await expect(reads(reserved)('query', '{}')).rejects.toBe(reserved);
    expect(shown).toEqual([]);
  });
});

const acknowledged = (shard: string, lsn: number): void =>
  floors.acknowledged({ type: 'records', shard, call: {} as RecordCall }, lsn);

describe('a read must see', () => {
  test('what this gateway acknowledged on the collection', async () => {
    acknowledged('shard', 9);
    acknowledged('another', 12);
    expect(await floorOf()).toBe(9);
  });

  test('what any gateway can have acknowledged before this one started', async () => {
    expect(await floorOf()).toBe(HEAD_AT_START);
  });

  test('nothing in particular at the level `eventual`, by setting or by header', async () => {
    acknowledged('shard', 9);
    expect(await floorOf({}, 'eventual')).toBe(0);
    expect(await floorOf({ 'x-polychrome-consistency': 'eventual' })).toBe(0);
    expect(await floorOf({ 'x-polychrome-consistency': 'session' }, 'eventual')).toBe(9);
  });

  test('at least what an earlier response showed its client', async () => {
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
