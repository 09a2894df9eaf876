// Generates synthetic records: clustered vectors, documents and metadata, reproducible from a seed.

import { seededRandom } from '../test/support/seeded-random.ts';

const CLUSTERS = 100;
/** Cluster radius relative to the distance between centres: neighbouring clusters overlap without merging. */
const CLUSTER_SPREAD = 0.5;
export const CATEGORIES = 10;
/** About 200 bytes. */
const DOCUMENT_WORDS = 30;

// prettier-ignore
const WORDS = [
  'replica', 'of', 'the', 'ordered', 'log', 'query', 'vector', 'a', 'search', 'engine', 'and', 'document', 'with',
  'metadata', 'about', 'storage', 'index', 'in', 'memory', 'for', 'retrieval', 'language', 'model', 'context', 'is',
  'answer', 'question', 'by', 'distance', 'cluster', 'node', 'primary', 'write', 'read', 'to', 'latency', 'measure',
];

/** Decimal places that embedding services send; slightly more than a 32-bit float holds. */
const COMPONENT_DIGITS = 8;

export class Corpus {
  readonly dimension: number;
  readonly #documentWords: number;
  readonly #random: () => number;
  readonly #centres: Float64Array[] = [];

  /** All corpora of one dimension share their cluster centres; `seed` determines the records. */
  constructor(dimension: number, seed: number, documentWords = DOCUMENT_WORDS) {
    this.dimension = dimension;
    this.#documentWords = documentWords;
    const centres = seededRandom(dimension);
    for (let index = 0; index < CLUSTERS; index += 1) this.#centres.push(gaussian(dimension, centres));
    this.#random = seededRandom(seed);
  }

  /** Components of a unit vector as JSON numbers. */
  components(): string[] {
    const centre = this.#centres[this.below(CLUSTERS)]!;
    const noise = gaussian(this.dimension, this.#random);
    let squares = 0;
    for (let index = 0; index < noise.length; index += 1) {
      const value = centre[index]! + CLUSTER_SPREAD * noise[index]!;
      noise[index] = value;
      squares += value * value;
    }
    const scale = 1 / Math.sqrt(squares);
    return Array.from(noise, (value) => (value * scale).toFixed(COMPONENT_DIGITS));
  }

  document(): string {
    return Array.from({ length: this.#documentWords }, () => WORDS[this.below(WORDS.length)]).join(' ');
  }

  /** A JSON object with one value of each metadata type. */
  metadata(): string {
    const category = this.below(CATEGORIES);
    const score = this.#random().toFixed(4);
    const year = 2000 + this.below(25);
    return `{"category":"c${category}","year":${year},"score":${score},"published":${this.below(2) === 0}}`;
  }

  /** A random integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** Normally distributed values (Box-Muller transform). */
function gaussian(count: number, random: () => number): Float64Array {
  const values = new Float64Array(count);
  for (let index = 0; index < values.length; index += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    values[index] = radius * Math.cos(angle);
    if (index + 1 < values.length) values[index + 1] = radius * Math.sin(angle);
  }
  return values;
}
