import { expect, it } from 'vitest';
import { scanRecordCall } from '../src/chroma/parse/scanner.ts';
import { isRefusal } from '../src/chroma/parse/refusal.ts';
import { seededRandom } from '../test/support/seeded-random.ts';
import { Bodies } from './bodies.ts';
import { Corpus } from './corpus.ts';
import { QUICK } from './settings.ts';
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

it('supplies distinct queries when bodies are reused', () => {
  const supply = queries(new Corpus(8, 1), 4, new Numbering(0));
  const seen = new Set<string>();
  for (let count = 0; count < 2_000; count += 1) {
    for (const vector of vectorsOf(supply.next())) seen.add(JSON.stringify(vector));
  }
  expect(seen.size).toBe(8_000);
});

it('adds distinct ids and complete columns when bodies are reused', () => {
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

it('gets only initial records of the collection', () => {
  const filled = new Set(fillBodies(new Corpus(8, 1), 50, 20).flatMap((body) => records(body).ids));
  expect(filled.size).toBe(50);
  const supply = gets(2, new Numbering(50));
  for (let count = 0; count < 100; count += 1) {
    const { ids } = records(supply.next());
    expect(ids).toHaveLength(20);
    expect(ids.every((id) => filled.has(id))).toBe(true);
  }
});

it('generates identical bodies when the seed is the same', () => {
  const [first, second] = [1, 1].map((seed) => Buffer.concat(fillBodies(new Corpus(16, seed), 30, 10)));
  expect(first!.equals(second!)).toBe(true);
});

it('generates clustered unit vectors', () => {
  const corpus = new Corpus(64, 1);
  const vectors = Array.from({ length: 300 }, () => corpus.components().map(Number));
  for (const vector of vectors) expect(product(vector, vector)).toBeCloseTo(1, 4);
  const nearest = vectors.map((one) =>
    Math.max(...vectors.filter((other) => other !== one).map((other) => product(one, other))),
  );
  // The nearest of 300 uniformly random 64-d unit vectors has a dot product of about 0.35.
  expect(nearest.filter((value) => value > 0.6).length).toBeGreaterThan(200);
});

it('draws repeated queries from a small set with the expected popularity', () => {
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

it('zipf draws n with probability proportional to 1 / (n + 1)', () => {
  const draw = zipf(10, seededRandom(1));
  const counts = Array.from({ length: 10 }, () => 0);
  for (let count = 0; count < 50_000; count += 1) counts[draw()]! += 1;
  expect(counts[0]! / counts[1]!).toBeCloseTo(2, 0);
  expect(counts[0]! / counts[9]!).toBeCloseTo(10, -0.5);
});

it('generates add bodies that the gateway accepts', () => {
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

it('generates documents of about 1 KB for the documents collection', () => {
  const corpus = new Bodies(QUICK).corpus('documents');
  const bytes = Array.from({ length: 100 }, () => corpus.document().length);
  expect(bytes.reduce((sum, length) => sum + length, 0) / 100).toBeCloseTo(1_000, -2);
});
