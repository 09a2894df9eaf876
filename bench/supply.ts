// Prepared request bodies, used in rotation. Values that must differ on every use of a body (ids of new records, query
// vectors that no cache may hold) are fixed-width numbers, overwritten in place before each use.

import { seededRandom } from '../test/support/seeded-random.ts';
import { CATEGORIES, type Corpus } from './corpus.ts';

/** Width of an overwritten number, which limits the distinct values. */
const SLOT_DIGITS = 9;
const SLOT_VALUES = 10 ** SLOT_DIGITS;
/** Coprime to SLOT_VALUES: successive values are far apart and do not repeat before all are used. */
const SCATTER_STEP = 387_420_489;

/** Placeholder of each kind of slot in a new body. */
const SLOTS = {
  /** The id of a new record. */
  fresh: 'FFFFFFFFF',
  /** The id of an initial record. */
  known: 'KKKKKKKKK',
  /** Decimal places of a vector's first component. */
  scattered: 'SSSSSSSSS',
} as const;
type SlotKind = keyof typeof SLOTS;
const SLOT_KINDS: readonly SlotKind[] = ['fresh', 'known', 'scattered'];

/** Ids of new records start here, above those of initial records. */
const FIRST_FRESH_ID = 100_000_000;
/** Limits of one supply: vectors repeat rarely, and preparation stays short. */
const SUPPLY_OPERATIONS = 1_024;
const SUPPLY_BYTES_MAX = 96 * 1024 * 1024;

interface Slot {
  readonly kind: SlotKind;
  readonly at: number;
}

interface Template {
  readonly body: Buffer;
  readonly slots: readonly Slot[];
}

/** Generates slot values; all supplies of one collection share one numbering. */
export class Numbering {
  #fresh = FIRST_FRESH_ID;
  #scattered = 0;
  readonly #known: number;
  readonly #random = seededRandom(7);

  /** The collection initially holds the ids 0 … `known` - 1. */
  constructor(known: number) {
    this.#known = known;
  }

  next(kind: SlotKind): number {
    if (kind === 'fresh') return this.#fresh++;
    if (kind === 'known') return Math.floor(this.#random() * this.#known);
    this.#scattered = (this.#scattered + SCATTER_STEP) % SLOT_VALUES;
    return this.#scattered;
  }
}

/** An endless supply of request bodies. */
export interface Supply {
  /** Operations per body. */
  readonly operations: number;
  /** The next body; valid until the rotation reaches it again. */
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

/** Prepares a supply within the limits above. */
function makeSupply(operations: number, numbering: Numbering, make: () => string): Supply {
  const first = Buffer.from(make());
  const wanted = Math.max(16, Math.ceil(SUPPLY_OPERATIONS / operations));
  const count = Math.max(2, Math.min(wanted, Math.floor(SUPPLY_BYTES_MAX / first.length)));
  const bodies = [first];
  while (bodies.length < count) bodies.push(Buffer.from(make()));
  return new TemplateSupply(operations, bodies, numbering);
}

/** A vector whose first component is a slot, so that it differs on every use. */
function vector(corpus: Corpus): string {
  const components = corpus.components();
  components[0] = `0.0${SLOTS.scattered}`;
  return `[${components.join(',')}]`;
}

const list = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join(',');

/** The defaults of the official clients. */
const INCLUDE_QUERY = '"include":["metadatas","documents","distances"]';
const INCLUDE_GET = '"include":["metadatas","documents"]';
export const RESULTS_PER_QUERY = 10;
export const RECORDS_PER_GET = 10;
/** Distinct queries of a Zipf-distributed supply. */
const REPEATED_QUERIES = 200;

/** Nearest-neighbour queries, `batch` per call, all distinct. */
export function queries(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () => {
    const vectors = list(batch, () => vector(corpus));
    return `{"query_embeddings":[${vectors}],"n_results":${RESULTS_PER_QUERY},${INCLUDE_QUERY}}`;
  });
}

/** Distinct queries with one of four filters, each of which matches one record in ten. */
export function filteredQueries(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  let turn = 0;
  return makeSupply(batch, numbering, () => {
    const where = `{"category":"c${turn % FILTERS}"}`;
    turn += 1;
    const vectors = list(batch, () => vector(corpus));
    return `{"query_embeddings":[${vectors}],"n_results":${RESULTS_PER_QUERY},"where":${where},${INCLUDE_QUERY}}`;
  });
}
const FILTERS = Math.min(4, CATEGORIES);

/** Queries drawn from a small set with Zipf-distributed popularity (exponent 1). */
export function repeatedQueries(corpus: Corpus, batch: number): Supply {
  const vectors = Array.from({ length: REPEATED_QUERIES }, () => `[${corpus.components().join(',')}]`);
  const draw = zipf(REPEATED_QUERIES, seededRandom(11));
  const text = (count: number, pick: () => number): Buffer =>
    Buffer.from(
      `{"query_embeddings":[${list(count, () => vectors[pick()]!)}],"n_results":${RESULTS_PER_QUERY},${INCLUDE_QUERY}}`,
    );
  if (batch > 1) {
    const bodies = Array.from({ length: 64 }, () => text(batch, draw));
    return new TemplateSupply(batch, bodies, new Numbering(0));
  }
  const bodies = vectors.map((_, index) => text(1, () => index));
  return { operations: 1, next: () => bodies[draw()]! };
}

/** Draws from 0 … `count` - 1; the probability of n is proportional to 1 / (n + 1). */
export function zipf(count: number, random: () => number): () => number {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let index = 0; index < count; index += 1) cumulative[index] = sum += 1 / (index + 1);
  return () => {
    const wanted = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** Gets of ten random initial records by id, `batch` gets per call. */
export function gets(batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () => {
    const ids = list(RECORDS_PER_GET * batch, () => `"r${SLOTS.known}"`);
    return `{"ids":[${ids}],${INCLUDE_GET}}`;
  });
}

/** Adds of new records, `batch` per call. */
export function adds(corpus: Corpus, batch: number, numbering: Numbering): Supply {
  return makeSupply(batch, numbering, () =>
    recordsBody(corpus, batch, { digits: () => SLOTS.fresh, embedding: vector }),
  );
}

/** Bodies of add calls for the initial records, ids 0 … `records` - 1. */
export function fillBodies(corpus: Corpus, records: number, recordsPerCall: number): Buffer[] {
  const bodies: Buffer[] = [];
  for (let first = 0; first < records; first += recordsPerCall) {
    const count = Math.min(recordsPerCall, records - first);
    const digits = (index: number): string => String(first + index).padStart(SLOT_DIGITS, '0');
    const embedding = (): string => `[${corpus.components().join(',')}]`;
    bodies.push(Buffer.from(recordsBody(corpus, count, { digits, embedding })));
  }
  return bodies;
}

interface RecordColumns {
  /** The nine digits of the id of record `index`. */
  readonly digits: (index: number) => string;
  readonly embedding: (corpus: Corpus) => string;
}

function recordsBody(corpus: Corpus, count: number, { digits, embedding }: RecordColumns): string {
  const ids = list(count, (index) => `"r${digits(index)}"`);
  const embeddings = list(count, () => embedding(corpus));
  const documents = list(count, () => JSON.stringify(corpus.document()));
  const metadatas = list(count, () => corpus.metadata());
  return `{"ids":[${ids}],"embeddings":[${embeddings}],"documents":[${documents}],"metadatas":[${metadatas}]}`;
}
