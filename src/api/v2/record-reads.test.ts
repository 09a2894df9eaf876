// Reads of records: what they require of a node, and what happens when the collection is missing.

import { beforeEach, describe, expect, test } from 'vitest';
import { recordReads } from '../../../test/support/record-reads.ts';
import { until } from '../../../test/support/until.ts';
import { collectionMissing } from '../../chroma/protocol/messages.ts';
import { PolychromeError } from '../../errors.ts';
import type { Names } from './resolve.ts';
import type { ReadRequirements } from '../../read/node-selection.ts';
import type { BodyProbe } from './body-probe.ts';
import type { RecordReads, RecordReadsOptions } from './record-reads.ts';
import type { Reader } from '../../read/reader.ts';
import type { ClientRequest } from '../../http/router.ts';

let asked: ReadRequirements[];

beforeEach(() => {
  asked = [];
});

function requestOf(headers: Record<string, string>, body = Buffer.alloc(0)): ClientRequest {
  const query = new URLSearchParams();
  const request = { headers, query, params: {}, body, signal: new AbortController().signal };
  return request as unknown as ClientRequest;
}

/** Reads of a collection that exists, with these floors. */
function handlersOf(floors: RecordReadsOptions['floors']): RecordReads['handlers'] {
  const collection = { tenant: 't', database: 'd', id: 'c', shards: [{ id: 'shard', dimension: 1 }] };
  const reader = {
    read: async (wanted: ReadRequirements) => (asked.push(wanted), { status: 200, body: Buffer.from('0') }),
  };
  const names = { byId: async () => collection } as unknown as Names;
  return recordReads({ floors, reader: reader as unknown as Reader, names }).handlers;
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
    const { handlers } = recordReads({
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

test('a read waits for a node that has applied its floor', async () => {
  await handlersOf({ of: async () => 9 }).count(requestOf({}));
  expect(asked.map(({ floor }) => floor)).toEqual([9]);
});

test('a read whose floor is refused reaches no node', async () => {
  const refused = new PolychromeError('invalid_argument', 'no such level');
  await expect(handlersOf({ of: () => Promise.reject(refused) }).count(requestOf({}))).rejects.toBe(refused);
  expect(asked).toEqual([]);
});
