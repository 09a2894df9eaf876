// A hostile case: well-formed requests of unusual sizes, counts and values against a small collection of its own.

import type { Random } from '../../support/draw.ts';
import type { Operation } from '../operation.ts';
import { MAIN } from '../schema.ts';

export interface HostileCase {
  readonly kind: string;
  /** What is unusual, in words that name the sizes. */
  readonly about: string;
  /** The rest of the collection's create body: `,"configuration":…`. */
  readonly created?: string;
  /** Made when it is sent: bodies are of up to 40 MiB. */
  readonly operations: () => readonly Operation[];
}

/** Draws one case of a kind. */
export type Draw = (random: Random) => Omit<HostileCase, 'kind'>;

export const PEARS = `${MAIN}/collections/{id:pears}`;

export const post = (action: string, body: string | object): Operation => ({
  action,
  method: 'POST',
  path: `${PEARS}/${action}`,
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

/** Records in the collection before the hostile operations; ids r0, r1, … with metadata `k` equal to the number. */
export const SEEDED = 12;

export const seeding: Operation = post('add', {
  ids: Array.from({ length: SEEDED }, (_, n) => `r${n}`),
  embeddings: Array.from({ length: SEEDED }, (_, n) => [n, 1, 2]),
  metadatas: Array.from({ length: SEEDED }, (_, n) => ({ k: n, colour: n % 2 === 0 ? 'red' : 'green' })),
  documents: Array.from({ length: SEEDED }, (_, n) => `pear number ${n}`),
});

/** Vectors of the collection's dimension as JSON text, for any number of records. */
export const embeddings = (count: number): string =>
  `[${Array.from({ length: count }, (_, n) => `[${n % 1_000},1,2]`).join(',')}]`;
