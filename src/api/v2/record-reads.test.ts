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
  let sent: string[];
  let respond: (() => void)[];

  beforeEach(() => {
    sent = [];
    respond = [];
  });

  /** Reads whose bodies a node refuses once the functions in `respond` are called. */
  function reads(
    error: PolychromeError,
  ): (action: 'get' | 'query', body: string | Buffer) => Promise<unknown> {
    const bodyProbe = {
      refusalOf: (_action: string, body: Buffer) => {
        sent.push(body.toString());
        return new Promise((resolve) => respond.push(() => resolve(FAULT)));
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

  const sentToNode = (count: number): Promise<void> =>
    until(async () => respond.length === count, 'a node has been sent bodies');

  const MISSING = collectionMissing({ modern: true }, 'c');

  test.each([
    ['get', '{"ids":["a"]}'],
    ['get', '{"ids":["a"],"include":["documents"],"where":null}'],
    ['query', '{"query_embeddings":[[1,2]],"n_results":3,"include":["distances"]}'],
  ] as const)('is not sent to a node when it is plainly valid: %s %s', async (action, body) => {
    await expect(reads(MISSING)(action, body)).rejects.toBe(MISSING);
    expect(sent).toEqual([]);
  });

  test.each([
    ['get', '{"limit":"x"}'],
    ['get', '{"ids":["a"],"where":1}'],
    ['get', '{"ids":["a"],"include":["nothing"]}'],
    ['query', '{}'],
    ['query', '{"query_embeddings":[[1,2]],"include":["nothing"]}'],
    ['query', '{"query_embeddings":[[1,2]],"ids":[1]}'],
    ['get', Buffer.from('{"ids":["\u00ff"]}', 'latin1')],
  ] as const)('gets the refusal of a node: %s %s', async (action, body) => {
    const response = reads(MISSING)(action, body);
    await sentToNode(1);
    respond[0]?.();
    expect(await response).toEqual(FAULT);
  });

  test('is sent to a node a few at a time', async () => {
    const read = reads(MISSING);
    const pending = Array.from({ length: 4 }, () => read('query', '{}'));
    await sentToNode(4);
    await expect(read('query', '{}')).rejects.toBe(MISSING);
    for (const each of respond) each();
    expect(await Promise.all(pending)).toEqual([FAULT, FAULT, FAULT, FAULT]);
    const next = read('query', '{}');
    await sentToNode(5);
    respond.at(-1)?.();
    expect(await next).toEqual(FAULT);
  });

  test('is not sent to a node when the error is another', async () => {
    const reserved = new PolychromeError('reserved', 'reserved');
    await expect(reads(reserved)('query', '{}')).rejects.toBe(reserved);
    expect(sent).toEqual([]);
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
