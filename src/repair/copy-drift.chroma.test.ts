// Copies of copies on a real server: what repeated copying through the API changes, and that comparison accepts it.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChromaHttp } from '../../test/support/chroma-http.ts';
import { startBareServer, type BareServer } from '../../test/support/chroma-server.ts';
import { seededRandom } from '../../test/support/seeded-random.ts';
import { readIds, readPages, type ReadCopy, type StoredRecord } from './copy-content.ts';
import { cosineDrift, recordDifference, vectorIn } from './record-difference.ts';

const RECORDS = 300;
const COPIES = 10;

let server: BareServer;
let chroma: ChromaHttp;
beforeAll(async () => {
  server = await startBareServer();
  chroma = new ChromaHttp(server.url);
});
afterAll(() => server.stop());

const read: ReadCopy = async ({ method, path, body }) => {
  const { status, text } = await chroma.call(method, path, body === undefined ? undefined : String(body));
  return { status, body: Buffer.from(text) };
};

const locate = (physical: string): { tenant: string; database: string; physical: string } => ({
  tenant: 'default_tenant',
  database: 'default_database',
  physical,
});

async function recordsOf(collection: string): Promise<StoredRecord[]> {
  const shard = locate(collection);
  const records: StoredRecord[] = [];
  for await (const page of readPages(read, shard, await readIds(read, shard))) records.push(...page.records);
  return records;
}

/** Adds the records as a copy does: with the texts that the other copy returned. */
async function add(collection: string, records: readonly StoredRecord[]): Promise<void> {
  const column = (of: (record: StoredRecord) => Buffer): string => `[${records.map(of).join(',')}]`;
  const ids = JSON.stringify(records.map(({ id }) => id));
  const body =
    `{"ids":${ids},"embeddings":${column((r) => r.embedding)},"documents":${column((r) => r.document)},` +
    `"uris":${column((r) => r.uri)},"metadatas":${column((r) => r.metadata)}}`;
  const { status, text } = await chroma.records(collection, 'add', body);
  if (status !== 201) throw new Error(`add: ${status} ${text}`);
}

async function createCollection(name: string, space: string): Promise<string> {
  return chroma.create(name, { configuration: { hnsw: { space } } });
}

test.each(['cosine', 'l2', 'ip'])(
  'ten successive copies of a %s collection equal the first',
  async (space) => {
    const random = seededRandom(7);
    const original = await createCollection(`drift-${space}-0`, space);
    const vector = (): number[] => Array.from({ length: 48 }, () => (random() - 0.5) * 10 ** (4 * random()));
    await add(
      original,
      Array.from({ length: RECORDS }, (_, index) => ({
        id: `r${index}`,
        embedding: Buffer.from(JSON.stringify(vector())),
        document: Buffer.from(index % 3 === 0 ? 'null' : JSON.stringify(`text "${index}" é`)),
        uri: Buffer.from(index % 5 === 0 ? `"uri ${index}"` : 'null'),
        metadata: Buffer.from(
          index % 7 === 0 ? 'null' : `{"n":${index},"x":1.0,"s":"v","b":true,"big":9007199254740993}`,
        ),
      })),
    );
    const first = await recordsOf(original);
    expect(first.map(({ id }) => id)).toEqual(Array.from({ length: RECORDS }, (_, index) => `r${index}`));
    let last = first;
    for (let copy = 1; copy <= COPIES; copy++) {
      const collection = await createCollection(`drift-${space}-${copy}`, space);
      await add(collection, last);
      last = await recordsOf(collection);
    }
    const rule = { isCosine: space === 'cosine' };
    const differences = first.map((record, index) =>
      recordDifference(record, last[index] as StoredRecord, rule),
    );
    expect(differences.filter((difference) => difference !== null)).toEqual([]);
    // The tolerance is needed: exact comparison would take the rounding of cosine vectors for damage.
    const exact = first.filter((record, index) =>
      recordDifference(record, last[index] as StoredRecord, { isCosine: false }),
    );
    expect(exact.length > 0).toBe(space === 'cosine');
    const drift = first.map((record, index) => driftBetween(record, last[index] as StoredRecord));
    // A tenth of the tolerance.
    expect(Math.max(...drift)).toBeLessThan(1e-6);
  },
);

function driftBetween(a: StoredRecord, b: StoredRecord): number {
  const [left, right] = [vectorIn(a.embedding), vectorIn(b.embedding)];
  return left === null || right === null ? NaN : cosineDrift(left, right);
}
