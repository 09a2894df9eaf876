// The digest is the demo's last word, so most of this file is nodes that differ in one small thing.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type NodeContent, parsePage, readNode, recordDigest, recordKey } from './node-content.ts';

/** A record as JSON text, since the differences that matter vanish in JavaScript numbers. */
interface RawRecord {
  id: string;
  document: string;
  metadata: string;
  embedding: string;
}

const raw = (id: number, changes: Partial<RawRecord> = {}): RawRecord => ({
  id: `"r${id}"`,
  document: `"text ${id}"`,
  metadata: `{"path":"a.md","position":${id}}`,
  embedding: '[0.5,-0.25]',
  ...changes,
});

const pageRequest = z.object({ limit: z.number(), offset: z.number() });

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A node that answers the three calls the reader makes; its collection has an id of its own. */
async function read(records: RawRecord[], collection = 'demo'): Promise<NodeContent> {
  const id = randomUUID();
  const server = createServer((request, response) => {
    void answer(request.url ?? '').then((text) => response.writeHead(text ? 200 : 404).end(text ?? 'none'));
    async function answer(url: string): Promise<string | null> {
      if (url.endsWith('/default_tenant/databases/default_database/collections/demo'))
        return `{"id":"${id}"}`;
      if (!url.endsWith(`/collections/${id}/get`)) return null;
      const body: unknown = JSON.parse(Buffer.concat(await request.toArray()).toString());
      const { limit, offset } = pageRequest.parse(body);
      const page = records.slice(offset, offset + limit);
      const column = (name: keyof RawRecord): string => `[${page.map((record) => record[name]).join(',')}]`;
      return `{"ids":${column('id')},"documents":${column('document')},"metadatas":${column('metadata')},"embeddings":${column('embedding')},"uris":null}`;
    }
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  const address = server.address();
  return readNode(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, [collection]);
}

describe('two nodes', () => {
  test('with the same content agree, in any order of records and keys, over several pages', async () => {
    const records = Array.from({ length: 1201 }, (_, i) => raw(i));
    const one = await read(records);
    const other = await read(
      [raw(0, { metadata: '{"position":0,"path":"a.md"}' }), ...records.slice(1)].toReversed(),
    );
    expect(one.records.size).toBe(1201);
    expect(other.digest).toBe(one.digest);
  });

  test('agree when one prints more decimals of the same f32', async () => {
    const short = await read([raw(1, { embedding: '[0.1]' })]);
    const long = await read([raw(1, { embedding: '[0.10000000149011612]' })]);
    expect(long.digest).toBe(short.digest);
  });

  test.each<[string, Partial<RawRecord>, Partial<RawRecord>]>([
    ['a document', {}, { document: '"text 2 "' }],
    ['a document that is missing', {}, { document: 'null' }],
    ['an id', {}, { id: '"r3"' }],
    ['a metadata value', {}, { metadata: '{"path":"b.md","position":2}' }],
    ['a metadata key', {}, { metadata: '{"path":"a.md","place":2}' }],
    ['metadata that is missing', {}, { metadata: 'null' }],
    ['the type of a number', { metadata: '{"n":1}' }, { metadata: '{"n":1.0}' }],
    ['a number and its text', { metadata: '{"n":1}' }, { metadata: '{"n":"1"}' }],
    ['a 64-bit integer', { metadata: '{"n":9007199254740993}' }, { metadata: '{"n":9007199254740992}' }],
    ['the last bit of an embedding', {}, { embedding: '[0.5,-0.25000003]' }],
    ['the dimension', {}, { embedding: '[0.5,-0.25,0]' }],
    ['an embedding that is missing', {}, { embedding: 'null' }],
  ])('disagree over %s', async (_what, changes, otherChanges) => {
    const one = await read([raw(1), raw(2, changes)]);
    const other = await read([raw(1), raw(2, otherChanges)]);
    expect(other.digest).not.toBe(one.digest);
  });

  test('disagree over a record too few, too many, or twice', async () => {
    const [one, two, three] = [raw(1), raw(2), raw(3)];
    const nodes = [[one], [one, two], [one, two, three], [one, two, two]].map((records) => read(records));
    const digests = (await Promise.all(nodes)).map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(4);
  });
});

test('what was sent has the digest of what a node gives back', async () => {
  const { records } = await read([raw(7, { document: '"caf\\u00e9 \\"x\\""' })]);
  const sent = {
    id: 'r7',
    document: 'café "x"',
    metadata: { position: 7, path: 'a.md' },
    embedding: [0.5, -0.25],
  };
  expect(records.get(recordKey('demo', 'r7'))).toBe(recordDigest(sent));
  expect(recordDigest({ ...sent, document: 'cafe "x"' })).not.toBe(recordDigest(sent));
});

test('a node without the collection, or with columns of different lengths, is an error, not an empty node', async () => {
  await expect(read([raw(1)], 'another')).rejects.toThrow(/answered 404/);
  const columns = '"documents":["a"],"metadatas":[null],"embeddings":[[1]]';
  expect(() => parsePage(`{"ids":["a","b"],${columns}}`)).toThrow(/different lengths/);
  expect(() => parsePage('{"ids":["a"],"documents":["a"],"metadatas":[null]}')).toThrow(/embeddings/);
  expect(() =>
    parsePage('{"ids":["a"],"documents":["a"],"metadatas":[null],"embeddings":[[null]]}'),
  ).not.toThrow();
  const [record] = parsePage('{"ids":["a"],"documents":["a"],"metadatas":[null],"embeddings":[[null]]}');
  expect(() => recordDigest(record!)).toThrow(/an embedding holds null/);
});
