// Each case but the first is a node that broke a promise, and must be reported.
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { brokenPromises, checkNode } from './check.ts';
import type { TextRecord } from './corpus.ts';

const record = (n: number, changes: Partial<TextRecord> = {}): TextRecord => ({
  id: `r${n}`,
  document: `text ${n}`,
  metadata: { path: 'a.md', position: n },
  embedding: [Math.fround(0.1), -0.25],
  ...changes,
});
const acknowledged = Array.from({ length: 1201 }, (_, n) => record(n));
const [first, ...others] = acknowledged as [TextRecord, ...TextRecord[]];

/** Starts a server that holds `records`, and checks it. */
async function check(records: readonly TextRecord[]) {
  const server = createServer((request, response) => {
    void request.toArray().then((chunks) => {
      response.setHeader('content-type', 'application/json');
      if (request.method === 'GET') return response.end('{"id":"c","name":"demo","configuration_json":{}}');
      const { limit, offset } = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, number>;
      const page = records.slice(offset, offset! + limit!);
      const column = (name: keyof TextRecord): unknown[] => page.map((item) => item[name]);
      const [ids, documents, metadatas] = [column('id'), column('document'), column('metadata')];
      return response.end(JSON.stringify({ ids, documents, metadatas, embeddings: column('embedding') }));
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return checkNode({ id: 'node-1', url }, acknowledged);
}

test('passes nodes with the acknowledged records, in any order of records, keys and decimals', async () => {
  const nodes = [
    await check(acknowledged),
    await check([...others, record(0, { metadata: { position: 0, path: 'a.md' }, embedding: [0.1, -0.25] })]),
  ];
  expect(nodes[0]).toMatchObject({ records: 1201, lost: 0, unexpected: 0 });
  expect(nodes[1]).toEqual(nodes[0]);
  expect(brokenPromises({ acknowledged, failed: 0 }, nodes)).toEqual([]);
});

test.each<[string, TextRecord[], { lost: number; unexpected: number }]>([
  ['a record is missing', others, { lost: 1, unexpected: 0 }],
  ['the node is empty', [], { lost: 1201, unexpected: 0 }],
  ['a document differs', [record(0, { document: 'other' }), ...others], { lost: 1, unexpected: 0 }],
  [
    'a metadata value differs',
    [record(0, { metadata: { path: 'a.md', position: 1 } }), ...others],
    { lost: 1, unexpected: 0 },
  ],
  [
    'the type of a metadata value differs',
    [record(0, { metadata: { path: 'a.md', position: '0' } }), ...others],
    { lost: 1, unexpected: 0 },
  ],
  [
    'the last bit of an embedding differs',
    [record(0, { embedding: [Math.fround(0.1), -0.25000003] }), ...others],
    { lost: 1, unexpected: 0 },
  ],
  ['a record was never acknowledged', [...acknowledged, record(9999)], { lost: 0, unexpected: 1 }],
  ['a record is stored twice', [...acknowledged, first], { lost: 0, unexpected: 1 }],
])('reports the node when %s', async (_case, records, expected) => {
  const node = await check(records);
  expect(node).toMatchObject(expected);
  expect(node.digest).not.toBe((await check(acknowledged)).digest);
  expect(brokenPromises({ acknowledged, failed: 0 }, [node, node])).toHaveLength(2);
});

test('reports failed requests, and runs that prove nothing', async () => {
  const node = await check(acknowledged);
  expect(brokenPromises({ acknowledged, failed: 3 }, [node, node])).toEqual(['3 requests failed.']);
  expect(brokenPromises({ acknowledged, failed: 0 }, [node])).toEqual(['Fewer than two nodes were checked.']);
  expect(brokenPromises({ acknowledged: [], failed: 0 }, [node, node])).toEqual([
    'No write was acknowledged.',
  ]);
});

test('rejects when the node cannot be read', async () => {
  await expect(checkNode({ id: 'node-1', url: 'http://127.0.0.1:1' }, acknowledged)).rejects.toThrow();
});
