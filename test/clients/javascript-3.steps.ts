// Steps that use every call of the JavaScript client 3.x.

import {
  AdminClient,
  ChromaClient,
  type Collection,
  type EmbeddingFunction,
  IncludeEnum,
  K,
  Knn,
  ReadLevel,
  Schema,
  Search,
  VectorIndexConfig,
} from 'chromadb';
import { fakeEmbedding } from './fake-embedding.ts';
import { byName, type ClientStep } from './side.ts';

export class Context {
  readonly url: URL;
  readonly client: ChromaClient;
  readonly admin: AdminClient;
  readonly #collections = new Map<string, Collection>();

  constructor(url: string) {
    this.url = new URL(url);
    this.client = new ChromaClient({ host: this.url.hostname, port: Number(this.url.port) });
    this.admin = new AdminClient({ host: this.url.hostname, port: Number(this.url.port), ssl: false });
  }

  elsewhere(tenant: string, database: string): ChromaClient {
    return new ChromaClient({ host: this.url.hostname, port: Number(this.url.port), tenant, database });
  }

  keep(collection: Collection): object {
    this.#collections.set(collection.name, collection);
    return shown(collection);
  }

  get(name: string): Collection {
    const found = this.#collections.get(name);
    if (found === undefined) throw new Error(`no step has made ${name}`);
    return found;
  }
}

class FakeEmbeddings implements EmbeddingFunction {
  readonly name = 'fake';
  generate(texts: string[]): Promise<number[][]> {
    return Promise.resolve(texts.map(fakeEmbedding));
  }
}

function shown({ id, name, metadata, configuration, tenant, database }: Collection): object {
  const { hnsw, spann } = configuration;
  return { id, name, metadata, hnsw, spann, tenant, database };
}

const ALL = [IncludeEnum.documents, IncludeEnum.embeddings, IncludeEnum.metadatas, IncludeEnum.uris] as const;
const everything = { include: [...ALL] };
const numbered = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

const SERVER: ClientStep<Context>[] = [
  ['heartbeat is a number', async ({ client }) => typeof (await client.heartbeat())],
  ['version', ({ client }) => client.version()],
  ['identity', ({ client }) => client.getUserIdentity()],
  ['preflight checks', ({ client }) => client.getPreflightChecks()],
  ['largest batch', ({ client }) => client.getMaxBatchSize()],
  ['base64', ({ client }) => client.supportsBase64Encoding()],
  ['reset, which is disabled', ({ client }) => client.reset()],
  ['a server that is not there', () => new ChromaClient({ host: '127.0.0.1', port: 1 }).heartbeat()],
];

const PLACES: ClientStep<Context>[] = [
  ['create tenant', ({ admin }) => admin.createTenant({ name: 'acme' })],
  ['create tenant again', ({ admin }) => admin.createTenant({ name: 'acme' })],
  ['get tenant', ({ admin }) => admin.getTenant({ name: 'acme' })],
  ['get tenant that is missing', ({ admin }) => admin.getTenant({ name: 'nobody' })],
  ['create database', ({ admin }) => admin.createDatabase({ tenant: 'acme', name: 'books' })],
  ['create database again', ({ admin }) => admin.createDatabase({ tenant: 'acme', name: 'books' })],
  ['create second database', ({ admin }) => admin.createDatabase({ tenant: 'acme', name: 'films' })],
  ['get database', ({ admin }) => admin.getDatabase({ tenant: 'acme', name: 'books' })],
  ['get database that is missing', ({ admin }) => admin.getDatabase({ tenant: 'acme', name: 'none' })],
  ['list databases', async ({ admin }) => byName(await admin.listDatabases({ tenant: 'acme' }))],
  [
    'collection in another database',
    async (context) => {
      const client = context.elsewhere('acme', 'books');
      const collection = await client.createCollection({ name: 'elsewhere', embeddingFunction: null });
      await collection.add({ ids: ['a'], embeddings: [[1, 2]] });
      return [await collection.count(), await client.countCollections(), context.keep(collection)];
    },
  ],
  ['and not in this one', ({ client }) => client.getCollection({ name: 'elsewhere' })],
  [
    'collection in a database that is missing',
    (context) =>
      context.elsewhere('acme', 'none').createCollection({ name: 'lost', embeddingFunction: null }),
  ],
  ['delete database', ({ admin }) => admin.deleteDatabase({ tenant: 'acme', name: 'books' })],
  ['delete database again', ({ admin }) => admin.deleteDatabase({ tenant: 'acme', name: 'books' })],
  ['its collections are gone', (context) => context.get('elsewhere').count()],
];

const COLLECTIONS: ClientStep<Context>[] = [
  [
    'create',
    async (context) =>
      context.keep(await context.client.createCollection({ name: 'first', embeddingFunction: null })),
  ],
  ['create again', ({ client }) => client.createCollection({ name: 'first', embeddingFunction: null })],
  ['create with a bad name', ({ client }) => client.createCollection({ name: 'a', embeddingFunction: null })],
  [
    'create with metadata and configuration',
    async (context) =>
      context.keep(
        await context.client.createCollection({
          name: 'tuned',
          embeddingFunction: null,
          metadata: { topic: 'tests', weight: 1.5, count: 3, on: true },
          configuration: { hnsw: { space: 'cosine', ef_construction: 50, ef_search: 20, max_neighbors: 8 } },
        }),
      ),
  ],
  [
    'create with an embedding function',
    async (context) =>
      context.keep(
        await context.client.createCollection({ name: 'texts', embeddingFunction: new FakeEmbeddings() }),
      ),
  ],
  [
    'create with a schema',
    async ({ client }) => {
      const schema = new Schema().createIndex(new VectorIndexConfig({ space: 'ip' }));
      const made = await client.createCollection({ name: 'schematic', embeddingFunction: null, schema });
      return [made.name, made.schema?.serializeToJSON()];
    },
  ],
  [
    'get or create one that is there',
    async (context) =>
      context.keep(await context.client.getOrCreateCollection({ name: 'first', embeddingFunction: null })),
  ],
  [
    'get or create one that is not',
    async (context) =>
      context.keep(await context.client.getOrCreateCollection({ name: 'second', embeddingFunction: null })),
  ],
  ['get', async ({ client }) => shown(await client.getCollection({ name: 'tuned' }))],
  ['get one that is missing', ({ client }) => client.getCollection({ name: 'missing' })],
  ['get by id', async (context) => shown(await context.client.getCollectionById(context.get('tuned').id))],
  [
    'get by an id that is missing',
    ({ client }) => client.getCollectionById('00000000-0000-4000-8000-000000000000'),
  ],
  ['get by an id that is none', ({ client }) => client.getCollectionById('none')],
  ['get by a resource name that is none', ({ client }) => client.getCollectionByCrn('none')],
  ['get several', async ({ client }) => byName(await client.getCollections(['first', 'tuned'])).map(shown)],
  ['list', async ({ client }) => byName(await client.listCollections()).map(shown)],
  ['list one page', async ({ client }) => (await client.listCollections({ limit: 2, offset: 1 })).length],
  ['count', ({ client }) => client.countCollections()],
  [
    'modify name, metadata, configuration',
    async (context) => {
      const tuned = context.get('tuned');
      await tuned.modify({
        name: 'retuned',
        metadata: { only: 'this' },
        configuration: { hnsw: { ef_search: 33 } },
      });
      return [shown(tuned), shown(await context.client.getCollection({ name: 'retuned' }))];
    },
  ],
  ['its old name is gone', ({ client }) => client.getCollection({ name: 'tuned' })],
  ['rename to a bad name', (context) => context.get('first').modify({ name: '..' })],
  ['fork', (context) => context.get('first').fork({ name: 'forked' })],
  ['count forks', (context) => context.get('first').forkCount()],
  ['indexing status', (context) => context.get('first').getIndexingStatus()],
  ['delete', ({ client }) => client.deleteCollection({ name: 'retuned' })],
  ['delete again', ({ client }) => client.deleteCollection({ name: 'retuned' })],
  ['write to a deleted one', (context) => context.get('tuned').add({ ids: ['a'], embeddings: [[1]] })],
];

const RECORDS: ClientStep<Context>[] = [
  [
    'add',
    (context) =>
      context.get('first').add({
        ids: ['a', 'b', 'c', 'd'],
        embeddings: [
          [1, 0, 0],
          [0.1, 0.2, -0.3],
          [1e-7, 16777217, 3.3333333],
          [0, 0, 1],
        ],
        documents: ['red apple', 'green pear', 'red cherry', 'größe 🍒 "quoted"'],
        metadatas: [
          { kind: 'fruit', price: 1, sweet: true },
          { kind: 'fruit', price: 2.5, sweet: false },
          { kind: 'berry', price: 9007199254740991 },
          { kind: 'word', price: -1 },
        ],
        uris: ['s3://a', 's3://b', 's3://c', 's3://d'],
      }),
  ],
  ['get all', (context) => context.get('first').get(everything)],
  ['get rows', async (context) => (await context.get('first').get(everything)).rows()],
  ['count', (context) => context.get('first').count()],
  ['count of the index only', (context) => context.get('first').count({ readLevel: ReadLevel.INDEX_ONLY })],
  ['peek', (context) => context.get('first').peek({ limit: 2 })],
  ['get by ids', (context) => context.get('first').get({ ids: ['c', 'nothing', 'a'] })],
  ['get a page', (context) => context.get('first').get({ limit: 2, offset: 1 })],
  ...(
    [
      { kind: 'fruit' },
      { price: { $gt: 1 } },
      { $and: [{ kind: { $in: ['fruit', 'berry'] } }, { price: { $lte: 2.5 } }] },
      { $or: [{ sweet: true }, { kind: { $ne: 'fruit' } }] },
      { kind: { $nin: ['word'] } },
      { none: { $eq: 'x' } },
    ] as const
  ).map((where): ClientStep<Context> => [
    `get where ${JSON.stringify(where)}`,
    (context) => context.get('first').get({ where: where as never }),
  ]),
  ...(
    [
      { $contains: 'red' },
      { $not_contains: 'red' },
      { $regex: '^green' },
      { $and: [{ $contains: 'red' }, { $not_contains: 'cherry' }] },
      { $contains: '🍒' },
    ] as const
  ).map((whereDocument): ClientStep<Context> => [
    `get where document ${JSON.stringify(whereDocument)}`,
    (context) => context.get('first').get({ whereDocument: whereDocument as never }),
  ]),
  [
    'query',
    (context) =>
      context.get('first').query({
        queryEmbeddings: [
          [1, 0, 0],
          [0, 0, 1],
        ],
        nResults: 3,
        include: [...ALL, IncludeEnum.distances],
      }),
  ],
  [
    'query with filters, as rows',
    async (context) =>
      (
        await context.get('first').query({
          queryEmbeddings: [[1, 0, 0]],
          nResults: 2,
          where: { kind: 'fruit' },
          whereDocument: { $contains: 'e' },
        })
      ).rows(),
  ],
  [
    'query among ids',
    (context) => context.get('first').query({ queryEmbeddings: [[1, 0, 0]], ids: ['b', 'd'] }),
  ],
  [
    'query for more than there are',
    (context) => context.get('first').query({ queryEmbeddings: [[1, 0, 0]], nResults: 50 }),
  ],
  ['query of another dimension', (context) => context.get('first').query({ queryEmbeddings: [[1, 0]] })],
  ['query of an empty collection', (context) => context.get('second').query({ queryEmbeddings: [[1, 0]] })],
  ['get from an empty collection', (context) => context.get('second').get(everything)],
  ['add an id that is there', (context) => context.get('first').add({ ids: ['a'], embeddings: [[9, 9, 9]] })],
  [
    'update, merging metadata',
    (context) =>
      context.get('first').update({
        ids: ['a', 'nothing'],
        embeddings: [
          [0.5, 0.5, 0.5],
          [1, 1, 1],
        ],
        documents: ['yellow apple', 'nothing'],
        metadatas: [{ price: 7, origin: 'north' }, { price: 0 }],
      }),
  ],
  [
    'update of metadata alone, removing a key',
    (context) => context.get('first').update({ ids: ['b'], metadatas: [{ sweet: null, extra: 'yes' }] }),
  ],
  [
    'upsert',
    (context) =>
      context.get('first').upsert({
        ids: ['b', 'e'],
        embeddings: [
          [2, 2, 2],
          [3, 3, 3],
        ],
        documents: ['blue pear', 'fig'],
        metadatas: [{ kind: 'fruit' }, { kind: 'fig' }],
      }),
  ],
  ['after update and upsert', (context) => context.get('first').get(everything)],
  [
    'metadata lists',
    async (context) => {
      const first = context.get('first');
      await first.upsert({
        ids: ['f'],
        embeddings: [[4, 4, 4]],
        metadatas: [{ tags: ['x', 'y'], sizes: [1, 2] }],
      });
      return first.get({ ids: ['f'] });
    },
  ],
  ['add of another dimension', (context) => context.get('first').add({ ids: ['g'], embeddings: [[1, 2]] })],
  [
    'add of the same id twice',
    (context) =>
      context.get('first').add({
        ids: ['g', 'g'],
        embeddings: [
          [1, 2, 3],
          [1, 2, 3],
        ],
      }),
  ],
  ['add without ids', (context) => context.get('first').add({ ids: [], embeddings: [] })],
  [
    'add of too few embeddings',
    (context) => context.get('first').add({ ids: ['g', 'h'], embeddings: [[1, 2, 3]] }),
  ],
  ['delete by ids', (context) => context.get('first').delete({ ids: ['d', 'nothing'] })],
  ['delete where', (context) => context.get('first').delete({ where: { kind: 'berry' } })],
  [
    'delete where document',
    (context) => context.get('first').delete({ whereDocument: { $contains: 'fig' } }),
  ],
  ['delete nothing in particular', (context) => context.get('first').delete({})],
  ['what is left', (context) => context.get('first').get(everything)],
  [
    'search',
    (context) =>
      context.get('first').search(
        new Search()
          .where(K('kind').eq('fruit'))
          .rank(Knn({ query: [1, 0, 0] }))
          .limit(2),
      ),
  ],
];

const TEXTS: ClientStep<Context>[] = [
  [
    'add of texts',
    (context) =>
      context.get('texts').add({
        ids: numbered(30).map((n) => `t${n}`),
        documents: numbered(30).map((n) => `document number ${n}`),
        metadatas: numbered(30).map((n) => ({ n })),
      }),
  ],
  [
    'query by text',
    async (context) => {
      const found = await context
        .get('texts')
        .query({ queryTexts: ['document number 7', 'number'], nResults: 1 });
      return [found.distances, found.documents];
    },
  ],
  [
    'texts as they were embedded',
    (context) => context.get('texts').get({ limit: 3, include: ['embeddings'] }),
  ],
  [
    'add of more than the largest batch',
    (context) => {
      const many = numbered(6_000);
      return context.get('second').add({ ids: many.map(String), embeddings: many.map((n) => [n, 1]) });
    },
  ],
  [
    'add of a large batch',
    async (context) => {
      const many = numbered(5_000);
      const second = context.get('second');
      await second.add({ ids: many.map(String), embeddings: many.map((n) => [n, 1]) });
      const nearest = await second.query({ queryEmbeddings: [[4_321, 1]], nResults: 1 });
      return [await second.count(), nearest.ids, (await second.get({ limit: 3, offset: 4_990 })).ids];
    },
  ],
];

export const STEPS: readonly ClientStep<Context>[] = [
  ...prefixed('server', SERVER),
  ...prefixed('places', PLACES),
  ...prefixed('collections', COLLECTIONS),
  ...prefixed('records', RECORDS),
  ...prefixed('texts and batches', TEXTS),
];

/** Polychrome refuses a limit where servers ignore it (hazards.ts). */
export const LIMITED_DELETE: ClientStep<Context> = [
  'delete with a limit',
  async (context) => [
    await context.get('limited').delete({ where: { n: { $gte: 0 } }, limit: 10 }),
    await context.get('limited').count(),
  ],
];

function prefixed(group: string, steps: readonly ClientStep<Context>[]): ClientStep<Context>[] {
  return steps.map(([name, run]) => [`${group}: ${name}`, run]);
}
