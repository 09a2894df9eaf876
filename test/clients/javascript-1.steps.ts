// Steps of the JavaScript client 1.10.5, the last of its major and the oldest with the v2 API.

import { AdminClient, ChromaClient, type Collection, IncludeEnum } from 'chromadb-1';
import { fakeEmbedding } from './fake-embedding.ts';
import { byName, type ClientStep } from './side.ts';

export class Context {
  readonly client: ChromaClient;
  readonly admin: AdminClient;
  readonly #collections = new Map<string, Collection>();

  constructor(url: string) {
    this.client = new ChromaClient({ path: url });
    this.admin = new AdminClient({ path: url });
  }

  keep(collection: Collection): object {
    this.#collections.set(collection.name, collection);
    const { id, name, metadata } = collection;
    return { id, name, metadata };
  }

  get(name: string): Collection {
    const found = this.#collections.get(name);
    if (found === undefined) throw new Error(`no step has made ${name}`);
    return found;
  }
}

const embeddingFunction = { generate: async (texts: string[]) => texts.map(fakeEmbedding) };
const ALL = [IncludeEnum.Documents, IncludeEnum.Embeddings, IncludeEnum.Metadatas];
const words = (context: Context): Collection => context.get('old-words');

export const STEPS: readonly ClientStep<Context>[] = [
  ['heartbeat is a number', async ({ client }) => typeof (await client.heartbeat())],
  ['version', ({ client }) => client.version()],
  ['reset, which is disabled', ({ client }) => client.reset()],
  ['create tenant', ({ admin }) => admin.createTenant({ name: 'old-tenant' })],
  ['create tenant again', ({ admin }) => admin.createTenant({ name: 'old-tenant' })],
  ['get tenant', ({ admin }) => admin.getTenant({ name: 'old-tenant' })],
  ['create database', ({ admin }) => admin.createDatabase({ tenantName: 'old-tenant', name: 'old-base' })],
  ['get database', ({ admin }) => admin.getDatabase({ tenantName: 'old-tenant', name: 'old-base' })],
  ['list databases', async ({ admin }) => byName(await admin.listDatabases({ tenantName: 'old-tenant' }))],
  ['delete database', ({ admin }) => admin.deleteDatabase({ tenantName: 'old-tenant', name: 'old-base' })],
  [
    'create collection',
    async (context) =>
      context.keep(
        await context.client.createCollection({
          name: 'old-words',
          embeddingFunction,
          metadata: { 'hnsw:space': 'cosine', topic: 'words' },
        }),
      ),
  ],
  ['create it again', ({ client }) => client.createCollection({ name: 'old-words', embeddingFunction })],
  [
    'get or create',
    async (context) =>
      context.keep(await context.client.getOrCreateCollection({ name: 'old-words', embeddingFunction })),
  ],
  ['get one that is missing', ({ client }) => client.getCollection({ name: 'old-none', embeddingFunction })],
  ['count collections', ({ client }) => client.countCollections()],
  ['list collections', async ({ client }) => [...(await client.listCollections())].sort()],
  ['list collections with metadata', async ({ client }) => byName(await client.listCollectionsAndMetadata())],
  [
    'add texts',
    (context) =>
      words(context).add({
        ids: ['1', '2', '3'],
        documents: ['one', 'two', 'three'],
        metadatas: [{ n: 1, odd: true }, { n: 2, odd: false }, { n: 3.5 }],
      }),
  ],
  ['count', (context) => words(context).count()],
  ['get all', (context) => words(context).get({ include: ALL })],
  ['get by one id', (context) => words(context).get({ ids: '2' })],
  ['get where', (context) => words(context).get({ where: { n: { $gte: 2 } }, limit: 1, offset: 1 })],
  ['get where document', (context) => words(context).get({ whereDocument: { $contains: 't' } })],
  ['peek', (context) => words(context).peek({ limit: 2 })],
  [
    'query by text',
    (context) =>
      words(context).query({ queryTexts: ['one', 'three'], nResults: 2, where: { n: { $lt: 3 } } }),
  ],
  [
    'query by vector',
    (context) => words(context).query({ queryEmbeddings: fakeEmbedding('two'), nResults: 1 }),
  ],
  ['query of another dimension', (context) => words(context).query({ queryEmbeddings: [1, 2], nResults: 1 })],
  [
    'update',
    (context) => words(context).update({ ids: ['1'], documents: ['uno'], metadatas: [{ language: 'es' }] }),
  ],
  ['upsert', (context) => words(context).upsert({ ids: ['1', '4'], documents: ['eins', 'vier'] })],
  ['after both', (context) => words(context).get({ include: ALL })],
  [
    'modify',
    async (context) => {
      await words(context).modify({ name: 'old-renamed', metadata: { topic: 'others' } });
      return context.client.listCollections().then((names) => names.includes('old-renamed'));
    },
  ],
  ['delete by ids', (context) => words(context).delete({ ids: ['1'] })],
  ['delete where', (context) => words(context).delete({ where: { n: 2 } })],
  ['what is left', (context) => words(context).get({ include: ALL })],
  ['delete collection', ({ client }) => client.deleteCollection({ name: 'old-renamed' })],
  ['and again', ({ client }) => client.deleteCollection({ name: 'old-renamed' })],
  ['count of what is gone', (context) => words(context).count()],
];
