// The unchanged JavaScript client 1.8.1, which knows only the v1 API. No server of its time runs here, so the results that
// its documentation promises stand in the test.

import { AdminClient, ChromaClient, type Collection } from 'chromadb-0';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { fakeEmbedding } from './fake-embedding.ts';

let cluster: TestCluster;
let client: ChromaClient;
let words: Collection;
const embeddingFunction = { generate: async (texts: string[]) => texts.map(fakeEmbedding) };

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2 });
  client = new ChromaClient({ path: cluster.url });
  words = await client.createCollection({
    name: 'words',
    metadata: { 'hnsw:space': 'cosine', topic: 'words' },
    embeddingFunction,
  });
});
afterAll(() => cluster?.stop());

test('speaks to the server', async () => {
  expect(await client.heartbeat()).toBeTypeOf('number');
  expect(await client.version()).toBe('1.0.0');
  const admin = new AdminClient({ path: cluster.url });
  expect(await admin.createTenant({ name: 'team' })).toEqual({ name: 'team' });
  await expect(admin.createTenant({ name: 'team' })).rejects.toThrow('already exists');
  expect(await admin.getTenant({ name: 'team' })).toEqual({ name: 'team' });
  expect(await admin.createDatabase({ name: 'books', tenantName: 'team' })).toEqual({ name: 'books' });
  expect(await admin.getDatabase({ name: 'books', tenantName: 'team' })).toEqual({ name: 'books' });
});

test('finds and lists collections', async () => {
  const again = await client.getOrCreateCollection({ name: 'words', embeddingFunction });
  expect(again.id).toBe(words.id);
  expect(again.metadata).toEqual({ 'hnsw:space': 'cosine', topic: 'words' });
  expect((await client.getCollection({ name: 'words', embeddingFunction })).id).toBe(words.id);
  await expect(client.createCollection({ name: 'words', embeddingFunction })).rejects.toThrow(
    'already exists',
  );
  await expect(client.getCollection({ name: 'none', embeddingFunction })).rejects.toThrow(
    'InvalidCollection',
  );
  expect((await client.listCollections()).map(({ name }) => name)).toEqual(['words']);
  expect(await client.countCollections()).toBe(1);
});

test('writes, reads and deletes records', async () => {
  const added = await words.add({
    ids: ['1', '2', '3'],
    documents: ['one', 'two', 'three'],
    metadatas: [{ n: 1 }, { n: 2 }, { n: 3.5 }],
  });
  expect(added).toBe(true);
  expect(await words.count()).toBe(3);
  expect(await words.get({ ids: ['1'] })).toMatchObject({ documents: ['one'], metadatas: [{ n: 1 }] });
  expect(await words.get({ where: { n: { $gte: 2 } } })).toMatchObject({ ids: ['2', '3'] });
  expect(await words.peek({ limit: 2 })).toMatchObject({ ids: ['1', '2'] });
  expect(await words.query({ queryTexts: ['two'], nResults: 1 })).toMatchObject({ ids: [['2']] });
  await words.update({ ids: ['1'], documents: ['uno'], metadatas: [{ language: 'es' }] });
  await words.upsert({ ids: ['4'], documents: ['vier'] });
  expect(await words.get({ ids: ['1'] })).toMatchObject({
    documents: ['uno'],
    metadatas: [{ n: 1, language: 'es' }],
  });
  expect(await words.delete({ ids: ['4'] })).toEqual(['4']);
  expect(await words.delete({ where: { n: 2 } })).toEqual(['2']);
  expect((await words.get()).ids).toEqual(['1', '3']);
});

test('renames and deletes collections', async () => {
  await words.modify({ name: 'renamed', metadata: { topic: 'others' } });
  expect((await client.getCollection({ name: 'renamed', embeddingFunction })).metadata).toEqual({
    topic: 'others',
  });
  await client.deleteCollection({ name: 'renamed' });
  expect(await client.countCollections()).toBe(0);
});
