// The two reads that can be put together: queries, and gets by id.

import { cutGetAnswer, mergeGetCalls, type GetCall } from '../chroma/get-call.ts';
import { cutQueryAnswer } from '../chroma/query-answer.ts';
import { mergeQueryCalls, type QueryCall } from '../chroma/query-call.ts';
import type { Mergeable } from './coalescer.ts';

// A first guess for a row with a document and metadata, before an answer was seen.
const ROW_BYTES = 1_024;
// As text, a float takes about 12 bytes; a get does not know the dimension, and the largest in common use is 3,072.
const VECTOR_BYTES = 12 * 3_072;
const FLOAT_BYTES = 12;

export const QUERIES: Mergeable<QueryCall> = {
  keyOf: ({ dimension, key }) => `${dimension} ${key}`,
  unitsOf: ({ count }) => count,
  rowsOf: ({ count, rowsPerVector }) => count * rowsPerVector,
  rowBytesOf: ({ withEmbeddings, dimension }) => ROW_BYTES + (withEmbeddings ? dimension * FLOAT_BYTES : 0),
  // A server's gain flattens at 32 to 64 vectors a call, and whoever came first waits for the last.
  unitsMax: 64,
  merge: mergeQueryCalls,
  cut: (answer, calls) =>
    cutQueryAnswer(
      answer,
      calls.map(({ count }) => count),
    ),
};

export const GETS: Mergeable<GetCall> = {
  keyOf: ({ key }) => key,
  unitsOf: ({ ids }) => ids.length,
  rowsOf: ({ ids }) => ids.length,
  rowBytesOf: ({ withEmbeddings }) => ROW_BYTES + (withEmbeddings ? VECTOR_BYTES : 0),
  // One statement of sqlite with as many variables: far from its limit of 32,766.
  unitsMax: 1_000,
  merge: mergeGetCalls,
  cut: cutGetAnswer,
};
