// Hostile cases from a seed: the same seed, the same cases. Kinds take turns, so that a short run meets each.

import { range } from '../../support/draw.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { indexSettings, names, pages, resultCounts } from './call-cases.ts';
import { combined, conditions, nesting, operands } from './filter-cases.ts';
import type { Draw, HostileCase } from './hostile-case.ts';
import {
  depth,
  dimensions,
  duplicateIds,
  emptyColumns,
  largestBodies,
  manyIds,
  metadata,
  numbers,
  strings,
} from './record-cases.ts';

const KINDS: Readonly<Record<string, Draw>> = {
  conditions,
  ids: manyIds,
  numbers,
  operands,
  'result counts': resultCounts,
  strings,
  nesting,
  dimensions,
  pages,
  metadata,
  combined,
  depth,
  'duplicate ids': duplicateIds,
  'empty columns': emptyColumns,
  names,
  'index settings': indexSettings,
  'largest bodies': largestBodies,
};

/** `count` cases; those of one kind do not repeat before each kind had its turn. */
export function hostileCases(seed: number, count: number): readonly HostileCase[] {
  const random = seededRandom(seed);
  const kinds = Object.keys(KINDS);
  return range(count).map((n) => {
    const kind = kinds[n % kinds.length]!;
    return { kind, ...KINDS[kind]!(random) };
  });
}
