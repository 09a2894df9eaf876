// Bodies of record calls, drawn from seeded random numbers.

import { range } from '../support/draw.ts';
import type { Target } from './beside.ts';
import type { Drill } from './drill.ts';
import type { Expectation, Operation, SentWrite } from './history.ts';

/** Words of many different letters, as a text index of a server has to work through them. */
function words(random: () => number, length: number): string {
  const parts: string[] = [];
  for (let size = 0; size < length;) {
    const word = Math.floor(random() * 1e6).toString(36);
    parts.push(word);
    size += word.length + 1;
  }
  return parts.join(' ').slice(0, length);
}

/** A long id that differs from others only in its last characters. */
export const longId = (length: number, n: number): string =>
  `${'x'.repeat(length - 8)}${String(n).padStart(8, '0')}`;

function vectors(random: () => number, count: number, dimension: number): number[][] {
  return range(count).map(() => range(dimension).map(() => Number((random() - 0.5).toFixed(8))));
}

export interface BulkCall {
  readonly operation?: Operation;
  readonly ids: readonly string[];
  readonly dimension?: number;
  /** Characters of each document; 0: no documents. */
  readonly documentLength?: number;
  readonly metadatas?: readonly object[];
  readonly expected?: Expectation;
}

/** Sends one call with these records. */
export function bulk(drill: Drill, target: Target, call: BulkCall): Promise<SentWrite> {
  const {
    operation = 'upsert',
    ids,
    dimension = 3,
    documentLength = 0,
    metadatas,
    expected = 'applied',
  } = call;
  const body = {
    ids,
    embeddings: vectors(drill.random, ids.length, dimension),
    ...(documentLength === 0 ? {} : { documents: ids.map(() => words(drill.random, documentLength)) }),
    ...(metadatas === undefined ? {} : { metadatas }),
  };
  return drill.write(target, body, { operation, ids, expected });
}

export const numbered = (prefix: string, count: number): string[] => range(count).map((n) => `${prefix}${n}`);
