// Reads that need no node: those above the limits of filters, and queries for zero rows.

import { beforeEach, describe, expect, test } from 'vitest';
import { recordReads } from '../../../test/support/record-reads.ts';
import { PolychromeError } from '../../errors.ts';
import type { WholeResponse } from '../../http/response.ts';
import type { BodyProbe } from './body-probe.ts';
import type { Names } from './resolve.ts';
import type { RoutedRead, Reader } from '../../read/reader.ts';
import type { ClientRequest } from '../../http/router.ts';

const MEBIBYTE = 1024 * 1024;

let asked: string[];
let probes: number;
let isMissing: boolean;
let nodeResponse: WholeResponse;

beforeEach(() => {
  asked = [];
  probes = 0;
  isMissing = false;
  nodeResponse = { status: 200, body: Buffer.from('{"ids":[["a"]],"documents":[["text"]]}') };
});

const missing = new PolychromeError('not_found', 'missing');

async function read(action: 'get' | 'query', body: unknown): Promise<{ status: number; body: string }> {
  const shards = [{ id: 'shard', dimension: 2 }];
  const collection = { tenant: 't', database: 'd', id: 'c', shards };
  const reader = {
    read: async (_wanted: unknown, { body: sent }: RoutedRead) => {
      asked.push(Buffer.concat([sent ?? []].flat()).toString());
      return nodeResponse;
    },
  };
  const { handlers } = recordReads({
    reader: reader as unknown as Reader,
    names: {
      byId: async () => (isMissing ? Promise.reject(missing) : collection),
    } as unknown as Names,
    bodyProbe: { refusalOf: async () => ((probes += 1), null) } as unknown as BodyProbe,
    floors: { of: async () => 7 },
  });
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // Not a slice of Buffer's pool, as a body from a socket.
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  const query = new URLSearchParams();
  const request = { headers: {}, query, params: {}, body: bytes, signal: new AbortController().signal };
  const given = (await handlers[action](request as unknown as ClientRequest)) as WholeResponse;
  return { status: given.status, body: String(given.body) };
}

const or = (count: number, padding = ''): object => ({
  $or: Array.from({ length: count }, (_, index) => ({ $contains: `${index}${padding}` })),
});

describe('a filter above a limit', () => {
  test.each<['get' | 'query', object]>([
    ['get', { where_document: or(12_000) }],
    ['query', { query_embeddings: [[1, 2]], where_document: or(900) }],
    ['get', { where_document: or(901, 'x'.repeat((3 * MEBIBYTE) / 901)) }],
  ])('is refused and no node is asked: %s', async (action, body) => {
    for (isMissing of [false, true]) {
      const { status, body: said } = await read(action, body);
      expect([status, said]).toEqual([400, expect.stringContaining('FILTER_CONDITIONS_MAX')]);
    }
    expect([asked, probes]).toEqual([[], 0]);
  });

  test('is none at the limit, however large the body', async () => {
    const body = { where_document: or(899, 'x'.repeat((3 * MEBIBYTE) / 899)) };
    expect((await read('get', body)).status).toBe(200);
    expect(asked).toEqual([JSON.stringify(body)]);
  });
});

describe('a query for zero rows', () => {
  const QUERY = { query_embeddings: [[1, 2]], n_results: 0 };

  test.each([
    [
      QUERY,
      '{"ids":[[]],"embeddings":null,"documents":[[]],"uris":null,"metadatas":[[]],"distances":[[]],"include":["documents","metadatas","distances"]}',
    ],
    [
      {
        ...QUERY,
        query_embeddings: [
          [1, 2],
          [3, 4],
        ],
        include: ['uris', 'embeddings'],
      },
      '{"ids":[[],[]],"embeddings":[[],[]],"documents":null,"uris":[[],[]],"metadatas":null,"distances":null,"include":["uris","embeddings"]}',
    ],
  ])('reaches no node: %j', async (body, expected) => {
    expect(await read('query', body)).toEqual({ status: 200, body: expected });
    expect(asked).toEqual([]);
  });

  test('with vectors of another dimension is refused as a server does', async () => {
    await expect(read('query', { ...QUERY, query_embeddings: [[1]] })).rejects.toThrow(
      'Collection expecting embedding with dimension of 2, got 1',
    );
    expect(asked).toEqual([]);
  });

  test('with a filter is validated by a node, as a query for one row', async () => {
    const body = { where: { k: 1 }, ...QUERY, include: ['documents'] };
    expect((await read('query', body)).body).toContain('"documents":[[]]');
    expect(asked).toEqual([JSON.stringify({ ...body, n_results: 1 })]);
  });

  test('with a filter that a node refuses is refused', async () => {
    nodeResponse = { status: 400, body: '{"error":"InvalidArgumentError"}' };
    expect((await read('query', { ...QUERY, where: {} })).status).toBe(400);
  });

  test('of a missing collection says so', async () => {
    isMissing = true;
    await expect(read('query', QUERY)).rejects.toBe(missing);
    expect([asked, probes]).toEqual([[], 0]);
  });
});
