// The data: vectors in clusters, as embeddings of real text are (uniform noise would flatter nobody and resemble
// nothing), with documents and metadata. Seeded: every target and every run gets the same bytes.

import { seededRandom } from '../test/support/seeded-random.ts';

const CLUSTERS = 100;
/** Spread of a cluster relative to the distance of the centres: neighbours overlap, yet are not one. */
const CLUSTER_SPREAD = 0.5;
export const CATEGORIES = 10;
const DOCUMENT_WORDS = 30;

// prettier-ignore
const WORDS = [
  'replica', 'of', 'the', 'ordered', 'log', 'query', 'vector', 'a', 'search', 'engine', 'and', 'document', 'with',
  'metadata', 'about', 'storage', 'index', 'in', 'memory', 'for', 'retrieval', 'language', 'model', 'context', 'is',
  'answer', 'question', 'by', 'distance', 'cluster', 'node', 'primary', 'write', 'read', 'to', 'latency', 'measure',
];

/** Digits after the point: what embedding services send, and a little more than a 32-bit float holds. */
const COMPONENT_DIGITS = 8;

export class Corpus {
  readonly dimension: number;
  readonly #random: () => number;
  readonly #centres: Float64Array[] = [];

  /** The clusters are the same for every corpus of a dimension; what is drawn from them depends on `seed`. */
  constructor(dimension: number, seed: number) {
    this.dimension = dimension;
    const centres = seededRandom(dimension);
    for (let index = 0; index < CLUSTERS; index += 1) this.#centres.push(gaussian(dimension, centres));
    this.#random = seededRandom(seed);
  }

  /** The components of a vector of length 1 as JSON numbers, parted by commas. */
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

  /** About 200 bytes of text. */
  document(): string {
    return Array.from({ length: DOCUMENT_WORDS }, () => WORDS[this.below(WORDS.length)]).join(' ');
  }

  /** A JSON object with one value of each kind. */
  metadata(): string {
    const category = this.below(CATEGORIES);
    const score = this.#random().toFixed(4);
    const year = 2000 + this.below(25);
    return `{"category":"c${category}","year":${year},"score":${score},"published":${this.below(2) === 0}}`;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** Normally distributed values (Box and Muller). */
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
