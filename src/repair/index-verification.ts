// Verifies the vector indexes of a shard's copies while entries go on: a record that none of them has touched must be found.

import { TermOver, type Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ComparedCopy } from './copy-comparison.ts';
import { CopyUnreadable, isTooLarge } from './copy-content.ts';
import {
  everyIndexMissesAll,
  indexFaults,
  indexSample,
  withoutTouched,
  type IndexSample,
} from './index-check.ts';
import { touchedIds, type TouchedIdsSource } from './touched-ids.ts';

export interface IndexVerificationOptions extends TouchedIdsSource {
  readonly applied: (node: string, shard: string) => number;
  readonly head: () => number;
  readonly clock: Clock;
}

export interface IndexFindings {
  /** Reasons by node. */
  readonly faults: ReadonlyMap<string, string>;
  /** Whether each of several indexes misses all records. */
  readonly findNothing: boolean;
}

export interface IndexRequest {
  readonly sample: (attempt: number) => readonly string[];
  /** Whether clients come first: nodes are searched one after the other. */
  readonly yields: boolean;
  readonly term: Term;
}

interface Searches {
  readonly samples: ReadonlyMap<string, IndexSample>;
  /** Reasons by node. */
  readonly failed: ReadonlyMap<string, string>;
}

const NOTHING: IndexFindings = { faults: new Map(), findNothing: false };
const ATTEMPTS_MAX = 5;
const PAUSE_MS = 200;

export class IndexVerification {
  readonly #options: IndexVerificationOptions;

  constructor(options: IndexVerificationOptions) {
    this.#options = options;
  }

  /**
   * What two samples in a row show of the copies, each of other records if there are enough. Throws NodeError when a node
   * does not respond, TermOver.
   */
  async verify(
    shard: string,
    copies: readonly ComparedCopy[],
    { sample, term, yields }: IndexRequest,
  ): Promise<IndexFindings> {
    let before: IndexFindings = NOTHING;
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (term.signal.aborted) throw new TermOver();
      const ids = sample(attempt);
      const { applied, head, clock } = this.#options;
      const after = Math.min(...copies.map(({ node }) => applied(node, shard)));
      const searches = await searchAll(copies, ids, yields);
      if (isFaultless(findingsOf(searches))) return NOTHING;
      const touched = await touchedIds(this.#options, shard, { after, upTo: head() }, term.signal);
      const now = findingsOf(untouched(searches, ids, (id) => touched.has(id)));
      const confirmed = inBoth(before, now);
      if (!isFaultless(confirmed)) return confirmed;
      before = now;
      await sleep(clock, PAUSE_MS, term.signal);
    }
    // Entries keep changing these records, or chance made one sample bad.
    return NOTHING;
  }
}

async function searchAll(
  copies: readonly ComparedCopy[],
  ids: readonly string[],
  oneByOne: boolean,
): Promise<Searches> {
  const samples = new Map<string, IndexSample>();
  const failed = new Map<string, string>();
  const search = async ({ node, read, location }: ComparedCopy): Promise<void> => {
    try {
      samples.set(node, await indexSample(read, location, ids));
    } catch (error) {
      // The sample is too large to be held in memory; that says nothing about the index.
      if (isTooLarge(error)) return;
      if (!(error instanceof CopyUnreadable)) throw error;
      failed.set(node, `its index cannot be searched: ${error.message}`);
    }
  };
  if (oneByOne) for (const copy of copies) await search(copy);
  else await Promise.all(copies.map(search));
  return { samples, failed };
}

/** What entries do not explain. A server fails searches of a collection whose first write, or deletion, is in flight. */
function untouched(
  { samples, failed }: Searches,
  ids: readonly string[],
  isTouched: (id: string) => boolean,
): Searches {
  const existed = ids.some((id) => !isTouched(id));
  return {
    samples: new Map([...samples].map(([node, sample]) => [node, withoutTouched(sample, isTouched)])),
    failed: existed ? failed : new Map(),
  };
}

function findingsOf({ samples, failed }: Searches): IndexFindings {
  return { faults: new Map([...indexFaults(samples), ...failed]), findNothing: everyIndexMissesAll(samples) };
}

function inBoth(before: IndexFindings, now: IndexFindings): IndexFindings {
  return {
    faults: new Map([...now.faults].filter(([node]) => before.faults.has(node))),
    findNothing: before.findNothing && now.findNothing,
  };
}

const isFaultless = ({ faults, findNothing }: IndexFindings): boolean => faults.size === 0 && !findNothing;
