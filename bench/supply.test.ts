import { expect, it } from 'vitest';
import { isRefusal, scanRecordCall } from '../src/chroma/scanner.ts';
import { seededRandom } from '../test/support/seeded-random.ts';
import { Corpus } from './corpus.ts';
import { adds, fillBodies, gets, Numbering, queries, repeatedQueries, zipf } from './supply.ts';

interface Records {
  ids: string[];
  embeddings: number[][];
  documents: string[];
  metadatas: object[];
}
function vectorsOf(body: Buffer): number[][] {
  return JSON.parse(body.toString()).query_embeddings;
}
function records(body: Buffer): Records {
  return JSON.parse(body.toString());
}
function product(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}

it('no two queries handed out are alike, though bodies are used again', () => {
  const supply = queries(new Corpus(8, 1), 4, new Numbering(0));
  const seen = new Set<string>();
  for (let count = 0; count < 2_000; count += 1) {
    for (const vector of vectorsOf(supply.next())) seen.add(JSON.stringify(vector));
  }
  expect(seen.size).toBe(8_000);
});

it('no id is added twice, and every column has its element', () => {
  const supply = adds(new Corpus(8, 1), 3, new Numbering(0));
  const ids = new Set<string>();
  for (let count = 0; count < 2_000; count += 1) {
    const added = records(supply.next());
    added.ids.forEach((id) => ids.add(id));
    expect([added.embeddings, added.documents, added.metadatas].map((column) => column.length)).toEqual([
      3, 3, 3,
    ]);
  }
  expect(ids.size).toBe(6_000);
});

it('gets ask for records that the collection was filled with', () => {
  const filled = new Set(fillBodies(new Corpus(8, 1), 50, 20).flatMap((body) => records(body).ids));
  expect(filled.size).toBe(50);
  const supply = gets(2, new Numbering(50));
  for (let count = 0; count < 100; count += 1) {
    const { ids } = records(supply.next());
    expect(ids).toHaveLength(20);
    expect(ids.every((id) => filled.has(id))).toBe(true);
  }
});

it('the same seed fills with the same bytes', () => {
  const [first, second] = [1, 1].map((seed) => Buffer.concat(fillBodies(new Corpus(16, seed), 30, 10)));
  expect(first!.equals(second!)).toBe(true);
});

it('vectors have length 1 and lie in clusters', () => {
  const corpus = new Corpus(64, 1);
  const vectors = Array.from({ length: 300 }, () => corpus.components().map(Number));
  for (const vector of vectors) expect(product(vector, vector)).toBeCloseTo(1, 4);
  const nearest = vectors.map((one) =>
    Math.max(...vectors.filter((other) => other !== one).map((other) => product(one, other))),
  );
  // Among uniformly random vectors of 64 components, the nearest of 300 has a product of about 0.35.
  expect(nearest.filter((value) => value > 0.6).length).toBeGreaterThan(200);
});

it('repeated queries are few, and the first is asked most', () => {
  const supply = repeatedQueries(new Corpus(8, 1), 1);
  const counts = new Map<string, number>();
  for (let count = 0; count < 10_000; count += 1) {
    const body = supply.next().toString();
    counts.set(body, (counts.get(body) ?? 0) + 1);
  }
  expect(counts.size).toBeLessThanOrEqual(200);
  // 1 / H(200) = 0.17
  expect(Math.max(...counts.values()) / 10_000).toBeCloseTo(0.17, 1);
});

it('zipf draws n in proportion to 1 / (n + 1)', () => {
  const draw = zipf(10, seededRandom(1));
  const counts = Array.from({ length: 10 }, () => 0);
  for (let count = 0; count < 50_000; count += 1) counts[draw()]! += 1;
  expect(counts[0]! / counts[1]!).toBeCloseTo(2, 0);
  expect(counts[0]! / counts[9]!).toBeCloseTo(10, -0.5);
});

it('what is added passes the gateway’s own checks', () => {
  const capabilities = {
    maxBatchSize: 1_000,
    base64Embeddings: true,
    metadataArrays: false,
    deleteLimit: false,
    schema: false,
  };
  const body = Buffer.from(adds(new Corpus(8, 1), 64, new Numbering(0)).next());
  const scanned = scanRecordCall('add', body, capabilities);
  expect(isRefusal(scanned)).toBe(false);
});
