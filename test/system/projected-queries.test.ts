// Queries completed from the record cache return what a node itself would, never torn or stale rows, whatever is written
// meanwhile (I6, I8).

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TextResponse } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { until } from '../support/until.ts';

const NODES = ['node-1', 'node-2'] as const;

let cluster: TestCluster;
beforeAll(async () => {
  // No query is served from the result cache.
  cluster = await TestCluster.start({ nodes: 2, settings: { RESULT_CACHE_BYTES: '0' } });
});
afterAll(() => cluster?.stop());

const projected = async (): Promise<number> => (await cluster.status()).reads.records.projected;

/** Queries everything until queries are projected. */
async function warm(collection: string, body: object): Promise<void> {
  const before = await projected();
  await until(async () => {
    await cluster.api.records(collection, 'query', body);
    return (await projected()) > before;
  }, 'queries are projected');
}

/** Runs `work` `width` times concurrently. */
const concurrently = (width: number, work: (worker: number) => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: width }, (_, worker) => work(worker)));

interface Found {
  readonly ids: string[][];
  readonly documents: (string | null)[][];
  readonly metadatas: (Record<string, unknown> | null)[][];
  readonly distances: number[][];
}

describe('a query has the same response as from a node', () => {
  const COUNT = 300;
  const HOSTILE = ['"', '\\', '\\"', '],["', '{}', 'é', '𝄞', '\n', '\u2028', 'null', '\u0001', '日本'];
  const random = seededRandom(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const randomText = (): string =>
    Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(HOSTILE)).join(' ');
  const vector = (): number[] => [0, 0, 0].map(() => Math.round(random() * 1_000) / 8);
  const metadata = (n: number): object | null =>
    pick([
      { n },
      { text: randomText() },
      { number: n / 8 },
      { even: n % 2 === 0 },
      { n, [`key ${n % 5}`]: randomText() },
      null,
    ]);

  let collection: string;
  /** The id of the collection on each node. */
  const nodeIds = new Map<string, string>();
  beforeAll(async () => {
    collection = await cluster.api.create('hostile');
    const numbers = Array.from({ length: COUNT }, (_, n) => n);
    const body = {
      ids: numbers.map((n) => `${randomText()} ${n}`),
      embeddings: numbers.map(vector),
      documents: numbers.map(() => pick([randomText(), randomText(), '', null])),
      metadatas: numbers.map(metadata),
    };
    const { status, text: response } = await cluster.api.records(collection, 'add', body);
    expect([status, response]).toEqual([201, expect.anything()]);
    await cluster.allServe();
    for (const node of NODES) {
      const listed = JSON.parse((await cluster.node(node).collections()).text) as {
        id: string;
        name: string;
      }[];
      nodeIds.set(node, listed.find(({ name }) => name === 'hostile')!.id);
    }
  });

  const INCLUDES = [
    '["documents"]',
    '["metadatas"]',
    '["documents","metadatas","distances"]',
    ' [ "metadatas" , "documents" ] ',
    '["documents","documents"]',
    '["distances"]',
    '["documents","embeddings"]',
    '["documents","uris","distances"]',
    '["nonesuch"]',
    '[]',
    'null',
  ];
  const WHERES = ['"where":{"n":{"$lt":150}}', '"where":{"even":true}', '"where_document":{"$contains":"é"}'];

  function randomQuery(): string {
    const vectors = Array.from({ length: pick([1, 1, 1, 2, 3]) }, vector);
    if (random() < 0.2) vectors.push(vectors[0]!);
    const members = [`"query_embeddings":${JSON.stringify(vectors)}`];
    if (random() < 0.8) members.push(`"n_results":${pick([1, 5, 10, 40, COUNT + 50])}`);
    if (random() < 0.3) members.push(pick(WHERES));
    if (random() < 0.8) members.push(`"include":${pick(INCLUDES)}`);
    if (random() < 0.5) members.reverse();
    return `${pick(['', ' '])}{${members.join(pick([',', ' ,\n']))}}${pick(['', ' \n'])}`;
  }

  /** The bytes, except for the order of keys in a metadata, which no server keeps. */
  function comparable({ status, text }: TextResponse): unknown {
    if (status !== 200) return [status, text];
    const found = JSON.parse(text) as Found;
    const oneKey = (found.metadatas ?? []).flat().every((each) => Object.keys(each ?? {}).length < 2);
    return oneKey ? text : found;
  }

  test('for any query of any records', async () => {
    await warm(collection, { query_embeddings: [vector()], n_results: COUNT });
    const before = await projected();
    await concurrently(8, async () => {
      for (let n = 0; n < 60; n++) {
        const body = randomQuery();
        const response = comparable(await cluster.api.records(collection, 'query', body));
        const fromNodes = await Promise.all(
          NODES.map(async (node) =>
            comparable(await cluster.node(node).records(nodeIds.get(node)!, 'query', body)),
          ),
        );
        const same = fromNodes.find((each) => JSON.stringify(each) === JSON.stringify(response));
        expect([body, response]).toEqual([body, same ?? fromNodes[0]]);
      }
    });
    expect((await projected()) - before).toBeGreaterThan(100);
  });
});

test('preloads a collection once queries have missed enough of its records', async () => {
  const collection = await cluster.api.create('preloaded');
  const numbers = Array.from({ length: 1_000 }, (_, n) => n);
  const document = 'x'.repeat(1_000);
  const { status } = await cluster.api.records(collection, 'add', {
    ids: numbers.map((n) => `r${n}`),
    embeddings: numbers.map((n) => [n, 0]),
    documents: numbers.map(() => document),
  });
  expect(status).toBe(201);
  const ask = (near: number): Promise<TextResponse> =>
    cluster.api.records(collection, 'query', { query_embeddings: [[near, 0]], n_results: 10 });
  const before = (await cluster.status()).reads.records.preloaded;
  // 900 records are found, and the last 100 never.
  for (let near = 5; near < 900; near += 10) await ask(near);
  const records = async (): Promise<{ preloaded: number; misses: number }> =>
    (await cluster.status()).reads.records;
  await until(async () => (await records()).preloaded > before, 'the collection was preloaded');
  const [projectedBefore, missesBefore] = [await projected(), (await records()).misses];
  const found = JSON.parse((await ask(955)).text) as Found;
  expect(found.documents).toEqual([Array(10).fill(document)]);
  expect([(await projected()) - projectedBefore, (await records()).misses - missesBefore]).toEqual([1, 0]);
});

describe('while records change', () => {
  const RECORDS = 200;
  const WRITERS = 4;
  const READERS = 16;
  const TURNS = 60;

  let collection: string;
  const call = async (action: string, body: object): Promise<Found> => {
    const { status, text } = await cluster.api.records(collection, action, body);
    if (status >= 300) throw new Error(`${action}: ${status} ${text}`);
    return JSON.parse(text) as Found;
  };

  /** The record's embedding, document and metadata state its version. */
  const at = (k: number, version: number): object => ({
    ids: [`r${k}`],
    embeddings: [[k, version]],
    documents: [`${k} at ${version}`],
    metadatas: [{ k, version }],
  });

  const acknowledged = new Map<number, number>();
  const begun = new Map<number, number>();

  /**
   * What is wrong with a response to the vector [near, 0], sent when `since` had been acknowledged: a row is of one state
   * no older than that. Only a record that is written meanwhile may be torn, as a server tears it: the distance is looked
   * up first, then the document, which may be newer by then, or deleted between two writes.
   */
  function faults(
    { ids, documents, metadatas, distances }: Found,
    near: number,
    since: typeof begun,
  ): string[] {
    return ids[0]!.flatMap((id, row) => {
      const [document, metadata, distance] = [documents[0]![row], metadatas[0]![row], distances[0]![row]!];
      const k = Number(id.slice(1));
      const [oldest, newest] = [since.get(k) ?? 0, begun.get(k) ?? 0];
      if (document === null && metadata === null && oldest < newest) return [];
      const version = Number(metadata?.['version']);
      const found = Math.sqrt(distance - (k - near) ** 2);
      const isValid =
        document === `${k} at ${version}` &&
        metadata?.['k'] === k &&
        Number.isInteger(found) &&
        oldest <= found &&
        found <= version &&
        version <= newest;
      const text = `${id}: "${document}" ${JSON.stringify(metadata)}, distance of ${found}`;
      return isValid ? [] : [`${text}, when it went from ${oldest} to ${newest}`];
    });
  }

  /** The document of one record as a query returns it to its writer; null when the record is missing. */
  async function documentOf(k: number): Promise<string | null> {
    const found = await call('query', { query_embeddings: [[k, 0]], n_results: 3, where: { k } });
    expect(faults(found, k, acknowledged)).toEqual([]);
    return found.documents[0]![0] ?? null;
  }

  async function faultsNear(near: number): Promise<string[]> {
    const since = new Map(acknowledged);
    return faults(await call('query', { query_embeddings: [[near, 0]], n_results: 10 }), near, since);
  }

  async function change(k: number, version: number): Promise<void> {
    begun.set(k, version);
    await write(k, version);
    acknowledged.set(k, version);
    expect(await documentOf(k)).toBe(`${k} at ${version}`);
  }

  async function write(k: number, version: number): Promise<void> {
    const kind = version % 40;
    if (kind === 13 || kind === 27) {
      await call('delete', kind === 13 ? { ids: [`r${k}`] } : { where: { k } });
      expect([k, version, await documentOf(k)]).toEqual([k, version, null]);
      await call('add', at(k, version));
    } else await call(version % 2 === 0 ? 'update' : 'upsert', at(k, version));
  }

  test('every row is of one state, none is stale, and writers see what they wrote', async () => {
    // Every record a neighbour of every other: the default index loses some after many updates
    // (docs/chroma-behaviour.md#records-that-no-query-finds).
    const hnsw = { max_neighbors: 256, ef_construction: 256, ef_search: 256 };
    collection = await cluster.api.create('changing', { configuration: { hnsw } });
    for (let k = 0; k < RECORDS; k++) if (k % 50 === 0) await seed(k);
    await warm(collection, { query_embeddings: [[0, 0]], n_results: RECORDS });
    const before = await projected();

    let writing = WRITERS;
    const wrong: string[] = [];
    const readers = concurrently(READERS, async (worker) => {
      for (let n = 0; writing > 0 && wrong.length === 0; n++) {
        const near = (worker * 13 + n * 7) % RECORDS;
        wrong.push(...(await faultsNear(near)));
      }
    });
    const writers = concurrently(WRITERS, async (worker) => {
      try {
        // Few records per writer, so that many responses contain one that has just changed.
        for (let turn = 1; turn <= TURNS; turn++) await change((turn % 10) * WRITERS + worker, turn);
      } finally {
        writing -= 1;
      }
    });
    await Promise.all([readers, writers]);
    expect(wrong).toEqual([]);
    expect((await projected()) - before).toBeGreaterThan(100);
  });

  async function seed(from: number): Promise<void> {
    const ks = Array.from({ length: 50 }, (_, n) => from + n);
    await call('add', {
      ids: ks.map((k) => `r${k}`),
      embeddings: ks.map((k) => [k, 0]),
      documents: ks.map((k) => `${k} at 0`),
      metadatas: ks.map((k) => ({ k, version: 0 })),
    });
  }
});
