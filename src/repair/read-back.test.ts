import { describe, expect, test } from 'vitest';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { ReadRequest } from '../chroma/client/node-request.ts';
import type { Entry } from '../log/entry.ts';
import { showsEffect } from './read-back.ts';

const SHARD = { physical: 'p', tenant: 't', database: 'd', name: 'n', fromLSN: 0, copy: 0, suspect: null };

interface Stored {
  readonly document: string | null;
  readonly embedding: readonly number[];
}

/** The ids of each read that the node received. */
let reads: string[][];

function clientOf(stored: Readonly<Record<string, Stored>>, status = 200): NodeClient {
  reads = [];
  const read = async ({ body }: ReadRequest) => {
    const { ids } = JSON.parse(String(body)) as { ids: string[] };
    reads.push(ids);
    const found = ids.filter((id) => id in stored);
    const documents = found.map((id) => stored[id]!.document);
    const embeddings = found.map((id) => stored[id]!.embedding);
    return { status, headers: {}, body: Buffer.from(JSON.stringify({ ids: found, documents, embeddings })) };
  };
  return { read } as unknown as NodeClient;
}

const entry = (kind: string, body: object): Entry => ({
  lsn: 7,
  kind,
  target: 's',
  header: '{}',
  body: Buffer.from(JSON.stringify(body)),
  batch: 't',
  appendedAt: 0,
});

const UPSERT = entry('upsert', { ids: ['a', 'b'], embeddings: [[1], [2]], documents: ['one', 'two'] });
const OLD: Stored = { document: 'old', embedding: [9] };

describe('showsEffect of a write', () => {
  test.each([
    [
      'true when a record has its document and embedding',
      { a: OLD, b: { document: 'two', embedding: [2] } },
      true,
    ],
    ['false when all records have other content', { a: OLD, b: OLD }, false],
    ['false when only the document is the same', { a: { document: 'one', embedding: [9] } }, false],
    ['false when no record exists', {}, false],
  ])('%s', async (_when, stored, shown) => {
    expect(await showsEffect(clientOf(stored), SHARD, UPSERT)).toBe(shown);
  });

  test('is null when the entry has neither documents nor embeddings', async () => {
    const update = entry('update', { ids: ['a'], metadatas: [{ n: 1 }] });
    expect(await showsEffect(clientOf({ a: OLD }), SHARD, update)).toBeNull();
  });

  test('is null when the node cannot read the records', async () => {
    expect(await showsEffect(clientOf({}, 500), SHARD, UPSERT)).toBeNull();
  });

  test('is true when a record of a later page has the content, and reads each id of a page once', async () => {
    const ids = ['i0', ...Array.from({ length: 700 }, (_, n) => `i${n}`)];
    const large = entry('upsert', { ids, embeddings: ids.map((_, n) => [n]) });
    const client = clientOf({ i699: { document: null, embedding: [700] } });
    expect(await showsEffect(client, SHARD, large)).toBe(true);
    expect(reads.map((page) => page.length)).toEqual([499, 201]);
  });
});

describe('showsEffect of a delete', () => {
  const DELETE = entry('delete', { ids: ['a', 'b'] });

  test('is false when all its records exist', async () => {
    expect(await showsEffect(clientOf({ a: OLD, b: OLD }), SHARD, DELETE)).toBe(false);
  });

  test('is null when some records are missing, which may have been missing before', async () => {
    expect(await showsEffect(clientOf({ a: OLD }), SHARD, DELETE)).toBeNull();
  });

  test('is null when it is conditional', async () => {
    const conditional = entry('delete_where', { where: { n: 1 } });
    expect(await showsEffect(clientOf({}), SHARD, conditional)).toBeNull();
  });
});

test('showsEffect is null for a schema change', async () => {
  const header = JSON.stringify({ tenant: 'orchard' });
  expect(await showsEffect(clientOf({}), SHARD, { ...entry('create_tenant', {}), header })).toBeNull();
});
