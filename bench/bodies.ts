// Request bodies and initial contents of all benchmark collections, shared by every target.

import { Corpus } from './corpus.ts';
import type { Collection, Server } from './server.ts';
import type { Settings } from './settings.ts';
import { fillBodies, Numbering, type Supply } from './supply.ts';

interface CollectionProfile {
  readonly dimension: number;
  /** Words per document where the default of the corpus does not fit. */
  readonly documentWords?: number;
  /** Written to by workloads, and therefore recreated for every measurement. */
  readonly isWritten: boolean;
  readonly seed: number;
  readonly fillSeed: number;
  readonly records: (settings: Settings) => number;
}

const PROFILES = {
  read: { dimension: 128, isWritten: false, seed: 1, fillSeed: 3, records: ({ records }) => records },
  wide: { dimension: 768, isWritten: false, seed: 2, fillSeed: 4, records: ({ wideRecords }) => wideRecords },
  written: {
    dimension: 128,
    isWritten: true,
    seed: 1,
    fillSeed: 3,
    records: ({ writtenRecords }) => writtenRecords,
  },
  /** 160 words are about 1 KB. */
  documents: {
    dimension: 384,
    documentWords: 160,
    isWritten: true,
    seed: 5,
    fillSeed: 6,
    records: ({ bulkRecords }) => bulkRecords,
  },
  embeddings: {
    dimension: 1_536,
    isWritten: true,
    seed: 7,
    fillSeed: 8,
    records: ({ bulkRecords }) => bulkRecords,
  },
} as const satisfies Record<string, CollectionProfile>;

export type CollectionName = keyof typeof PROFILES;

export const isWritten = (name: CollectionName): boolean => PROFILES[name].isWritten;

const FILL_RECORDS_PER_CALL = 500;

export class Bodies {
  readonly #settings: Settings;
  readonly #corpora = new Map<CollectionName, Corpus>();
  readonly #numberings = new Map<CollectionName, Numbering>();
  readonly #fills = new Map<CollectionName, readonly Buffer[]>();
  readonly #supplies = new Map<string, Supply>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** The corpus that requests to this collection are drawn from. */
  corpus(name: CollectionName): Corpus {
    return cached(this.#corpora, name, () => {
      const { dimension, seed, documentWords }: CollectionProfile = PROFILES[name];
      return new Corpus(dimension, seed, documentWords);
    });
  }

  numbering(name: CollectionName): Numbering {
    return cached(this.#numberings, name, () => new Numbering(PROFILES[name].records(this.#settings)));
  }

  /** Bodies of the add calls that create the initial contents. */
  fill(name: CollectionName): readonly Buffer[] {
    return cached(this.#fills, name, () => {
      const { dimension, fillSeed, documentWords, records }: CollectionProfile = PROFILES[name];
      const corpus = new Corpus(dimension, fillSeed, documentWords);
      return fillBodies(corpus, records(this.#settings), FILL_RECORDS_PER_CALL);
    });
  }

  /** The supply called `key`; `make` creates it on first use. */
  supply(key: string, make: () => Supply): Supply {
    return cached(this.#supplies, key, make);
  }

  /** Frees all supplies. They occupy up to 100 MB each, and workloads run one after another. */
  releaseSupplies(): void {
    this.#supplies.clear();
  }

  /** The collection on `server`, filled; recreated if workloads write to it. */
  open(server: Server, name: CollectionName): Promise<Collection> {
    const fill = this.fill(name);
    return isWritten(name)
      ? server.recreateCollection(`bench_${name}`, fill)
      : server.collection(`bench_${name}`, fill);
  }
}

function cached<K, V>(cache: Map<K, V>, key: K, make: () => V): V {
  let value = cache.get(key);
  if (value === undefined) cache.set(key, (value = make()));
  return value;
}
