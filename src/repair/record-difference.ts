// Compares two records as two nodes returned them: type-exact, apart from the rounding of cosine vectors.

import { columnsOf, elementEnds, elementStart, stringAt } from '../chroma/batch/response-slices.ts';
import { ARRAY_OPEN, OBJECT_OPEN, QUOTE } from '../chroma/parse/json.ts';
import { mapKey } from '../util/map-key.ts';
import type { StoredRecord } from './copy-content.ts';

export type DifferentField = 'embedding' | 'document' | 'uri' | 'metadata';

/** How embeddings are compared. */
export interface EmbeddingRule {
  /** In cosine space a server stores the normalised vector and its norm, and returns their product: each copy rounds. */
  readonly isCosine: boolean;
}

// Largest difference of a component, relative to the norm, that rounding explains. One rounding of a 32-bit float is
// 6e-8 of its value, and copies of copies add up: ten stay below a tenth of this (copy-drift.chroma.test.ts).
const COSINE_TOLERANCE = 1e-5;

/** The first field in which the records differ; null when they are equal. */
export function recordDifference(
  a: StoredRecord,
  b: StoredRecord,
  rule: EmbeddingRule,
): DifferentField | null {
  if (!isSameEmbedding(a.embedding, b.embedding, rule)) return 'embedding';
  if (!isSameValue(a.document, b.document)) return 'document';
  if (!isSameValue(a.uri, b.uri)) return 'uri';
  return isSameMetadata(a.metadata, b.metadata) ? null : 'metadata';
}

/** The components of the text of an embedding, as the 32-bit floats that a server stores; null for no embedding. */
export function vectorIn(embedding: Buffer): Float32Array | null {
  if (embedding[0] !== ARRAY_OPEN) return null;
  const ends = elementEnds(embedding, 0);
  // The text is the shortest that is nearest to one 32-bit float, so reading it as a double first leads to the same one.
  return Float32Array.from(ends, (end, index) =>
    Number(embedding.toString('latin1', elementStart(0, ends, index), end)),
  );
}

function isSameEmbedding(a: Buffer, b: Buffer, { isCosine }: EmbeddingRule): boolean {
  if (a.equals(b)) return true;
  const [left, right] = [vectorIn(a), vectorIn(b)];
  if (left === null || right === null || left.length !== right.length) return false;
  return isCosine
    ? cosineDrift(left, right) <= COSINE_TOLERANCE
    : left.every((x, index) => x === right[index]);
}

/** The largest difference of a component of two vectors of one length, relative to the larger norm. */
export function cosineDrift(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  // A component that JSON cannot express is NaN, and stays one here: equal to nothing but its own text.
  for (let index = 0; index < a.length; index++)
    largest = Math.max(largest, Math.abs((a[index] as number) - (b[index] as number)));
  return largest === 0 ? 0 : largest / Math.max(normOf(a), normOf(b));
}

function normOf(vector: Float32Array): number {
  return Math.sqrt(vector.reduce((sum, component) => sum + component * component, 0));
}

function isSameMetadata(a: Buffer, b: Buffer): boolean {
  if (a.equals(b)) return true;
  if (a[0] !== OBJECT_OPEN || b[0] !== OBJECT_OPEN) return false;
  const [left, right] = [valuesByKey(a), valuesByKey(b)];
  // A server returns the keys of one record in any order.
  return left.size === right.size && [...left].every(([key, value]) => isSameValue(value, right.get(key)));
}

function valuesByKey(object: Buffer): Map<string, Buffer> {
  const members = columnsOf(object) ?? [];
  return new Map(members.map(({ name, start, end }) => [mapKey(name), object.subarray(start, end)]));
}

/** Whether two values of metadata, or two documents, are of one type and equal. */
function isSameValue(a: Buffer, b: Buffer | undefined): boolean {
  if (b === undefined) return false;
  if (a.equals(b)) return true;
  if (a[0] !== b[0]) return isSameDouble(a, b);
  if (a[0] === QUOTE) return stringAt(a, 0, a.length) === stringAt(b, 0, b.length);
  if (a[0] !== ARRAY_OPEN) return isSameDouble(a, b);
  const [left, right] = [elementsOf(a), elementsOf(b)];
  return left.length === right.length && left.every((element, index) => isSameValue(element, right[index]));
}

function elementsOf(array: Buffer): Buffer[] {
  const ends = elementEnds(array, 0);
  return ends.map((end, index) => array.subarray(elementStart(0, ends, index), end));
}

const NUMBER_WITH_FRACTION = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const FRACTION_OR_EXPONENT = /[.eE]/;

/**
 * Whether two texts stand for one double: releases may write one in several ways (`1e16`, `1e+16`). Integers, which are
 * exact to 64 bits and another type, are equal as texts only; JavaScript reads every text of a double exactly.
 */
function isSameDouble(a: Buffer, b: Buffer): boolean {
  const texts = [a.toString('latin1'), b.toString('latin1')] as const;
  const areDoubles = texts.every(
    (text) => NUMBER_WITH_FRACTION.test(text) && FRACTION_OR_EXPONENT.test(text),
  );
  return areDoubles && Object.is(Number(texts[0]), Number(texts[1]));
}
