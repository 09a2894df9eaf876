// Bodies made beforehand, handed out in turn. What must differ between two sendings of one body (ids of new records,
// queries that no cache may know) are numbers of fixed width, written over the old ones in place just before sending.

import { seededRandom } from '../test/support/seeded-random.ts';
import { CATEGORIES, type Corpus } from './corpus.ts';

/** How wide a number that is written over is; so many distinct ones can be sent. */
const SLOT_DIGITS = 9;
const SLOT_VALUES = 10 ** SLOT_DIGITS;
/** Coprime to SLOT_VALUES: successive numbers land far apart, and none twice before all are used. */
const SCATTER = 387_420_489;

/** What stands in a slot until it is first written over. */
const SLOTS = {
  /** The id of a new record. */
  fresh: 'FFFFFFFFF',
  /** The id of a record that the collection was filled with. */
  known: 'KKKKKKKKK',
  /** Digits of a vector's first component. */
  scattered: 'SSSSSSSSS',
} as const;
type SlotKind = keyof typeof SLOTS;
const SLOT_KINDS: readonly SlotKind[] = ['fresh', 'known', 'scattered'];

/** Ids of new records begin here, above all that a collection is filled with. */
const FIRST_FRESH_ID = 100_000_000;
/** Bodies kept for one purpose: enough that a server meets each vector rarely, and few enough to be made quickly. */
const OPERATIONS_KEPT = 1_024;
const BYTES_KEPT = 96 * 1024 * 1024;

interface Slot {
  readonly kind: SlotKind;
  readonly at: number;
}

interface Template {
  readonly body: Buffer;
  readonly slots: readonly Slot[];
}

/** Whence the numbers in slots come; one for all bodies sent to collections of the same content. */
export class Numbering {
  #fresh = FIRST_FRESH_ID;
  #scattered = 0;
  readonly #known: number;
  readonly #random = seededRandom(7);

  /** `known` records are in the collection, with the ids 0 … `known` - 1. */
  constructor(known: number) {
    this.#known = known;
  }

  next(kind: SlotKind): number {
    if (kind === 'fresh') return this.#fresh++;
    if (kind === 'known') return Math.floor(this.#random() * this.#known);
    this.#scattered = (this.#scattered + SCATTER) % SLOT_VALUES;
    return this.#scattered;
  }
}

/** A supply of request bodies. */
export interface Supply {
  /** Operations in each body. */
  readonly operations: number;
  /** The next body; its slots stay as they are until the whole supply has gone round once. */
  next(): Buffer;
}

class TemplateSupply implements Supply {
  readonly operations: number;
  readonly #templates: readonly Template[];
  readonly #numbering: Numbering;
  #turn = 0;

  constructor(operations: number, bodies: readonly Buffer[], numbering: Numbering) {
    this.operations = operations;
    this.#numbering = numbering;
    this.#templates = bodies.map((body) => ({ body, slots: findSlots(body) }));
  }

  next(): Buffer {
    const template = this.#templates[this.#turn % this.#templates.length]!;
    this.#turn += 1;
    for (const { kind, at } of template.slots) writeDigits(template.body, at, this.#numbering.next(kind));
    return template.body;
  }
}

function findSlots(body: Buffer): Slot[] {
  const slots: Slot[] = [];
  for (const kind of SLOT_KINDS) {
    for (let at = body.indexOf(SLOTS[kind]); at >= 0; at = body.indexOf(SLOTS[kind], at + SLOT_DIGITS)) {
      slots.push({ kind, at });
    }
  }
  return slots;
}

function writeDigits(body: Buffer, at: number, value: number): void {
  let rest = value;
  for (let index = at + SLOT_DIGITS - 1; index >= at; index -= 1) {
    body[index] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Makes as many bodies of `operations` as are worth keeping. */
function makeSupply(operations: number, numbering: Numbering, make: () => string): Supply {
  const first = Buffer.from(make());
  const wanted = Math.max(16, Math.ceil(OPERATIONS_KEPT / operations));
  const count = Math.max(2, Math.min(wanted, Math.floor(BYTES_KEPT / first.length)));
  const bodies = [first];
  while (bodies.length < count) bodies.push(Buffer.from(make()));
  return new TemplateSupply(operations, bodies, numbering);
}

/** A vector; its first component is a slot, so that no two sendings are alike. */
function vector(corpus: Corpus): string {
  const components = corpus.components();
  components[0] = `0.0${SLOTS.scattered}`;
  return `[${components.join(',')}]`;
}

const times = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join(',');

/** What queries and gets ask for: what the official clients ask for unless told otherwise. */
const INCLUDE_QUERY = '"include":["metadatas","documents","distances"]';
const INCLUDE_GET = '"include":["metadatas","documents"]';
export const RESULTS_PER_QUERY = 10;
export const RECORDS_PER_GET = 10;
/** Queries that people repeat: so many, the n-th asked 1/n as often as the first. */
const REPEATED_QUERIES = 200;

/** Nearest-neighbour queries, `batch` a call, no two alike. */
export function queries(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () => {
    const vectors = times(batch, () => vector(corpus));
    return `{"query_embeddings":[${vectors}],"n_results":${RESULTS_PER_QUERY},${INCLUDE_QUERY}}`;
  });
}

/** The same with a filter. Few filters in all, each shared by many clients: one in ten records passes. */
export function filteredQueries(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  let turn = 0;
  return makeSupply(batch, numbering, () => {
    const where = `{"category":"c${turn % FILTERS}"}`;
    turn += 1;
    const vectors = times(batch, () => vector(corpus));
    return `{"query_embeddings":[${vectors}],"n_results":${RESULTS_PER_QUERY},"where":${where},${INCLUDE_QUERY}}`;
  });
}
const FILTERS = Math.min(4, CATEGORIES);

/** Queries drawn from a few, most often the first ones (Zipf, exponent 1): what people and agents ask again. */
export function repeatedQueries(corpus: Corpus, batch: number): Supply {
  const vectors = Array.from({ length: REPEATED_QUERIES }, () => `[${corpus.components().join(',')}]`);
  const draw = zipf(REPEATED_QUERIES, seededRandom(11));
  const text = (count: number, pick: () => number): Buffer =>
    Buffer.from(
      `{"query_embeddings":[${times(count, () => vectors[pick()]!)}],"n_results":${RESULTS_PER_QUERY},${INCLUDE_QUERY}}`,
    );
  if (batch > 1) {
    const bodies = Array.from({ length: 64 }, () => text(batch, draw));
    return new TemplateSupply(batch, bodies, new Numbering(0));
  }
  const bodies = vectors.map((_, index) => text(1, () => index));
  return { operations: 1, next: () => bodies[draw()]! };
}

/** Draws 0 … `count` - 1, n with a probability proportional to 1 / (n + 1). */
export function zipf(count: number, random: () => number): () => number {
  const cumulated = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index += 1) cumulated[index] = sum += 1 / (index + 1);
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulated[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** Reads by id, ten records each, `batch` of them in one call. */
export function gets(batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () => {
    const ids = times(RECORDS_PER_GET * batch, () => `"r${SLOTS.known}"`);
    return `{"ids":[${ids}],${INCLUDE_GET}}`;
  });
}

/** Adds of new records, `batch` a call. */
export function adds(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () => recordsBody(corpus, batch, () => SLOTS.fresh, vector));
}

/** The bodies that fill a collection with `records` records, ids 0 … `records` - 1. */
export function fillBodies(corpus: Corpus, records: number, perCall: number): Buffer[] {
  const bodies: Buffer[] = [];
  for (let first = 0; first < records; first += perCall) {
    const count = Math.min(perCall, records - first);
    const digits = (index: number): string => String(first + index).padStart(SLOT_DIGITS, '0');
    bodies.push(Buffer.from(recordsBody(corpus, count, digits, () => `[${corpus.components().join(',')}]`)));
  }
  return bodies;
}

function recordsBody(
  corpus: Corpus,
  count: number,
  digits: (index: number) => string,
  embedding: (corpus: Corpus) => string,
): string {
  const ids = times(count, (index) => `"r${digits(index)}"`);
  const embeddings = times(count, () => embedding(corpus));
  const documents = times(count, () => JSON.stringify(corpus.document()));
  const metadatas = times(count, () => corpus.metadata());
  return `{"ids":[${ids}],"embeddings":[${embeddings}],"documents":[${documents}],"metadatas":[${metadatas}]}`;
}
