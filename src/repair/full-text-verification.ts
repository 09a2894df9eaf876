// Verifies what filters by document select on the copies of a shard while entries go on, within a share of the time that
// their comparison takes.

import { TermOver, type Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ComparedCopy } from './copy-comparison.ts';
import { fullTextFaults, type FullTextFault, type ScanBudget } from './full-text-check.ts';
import { sampleOf } from './index-check.ts';
import { withoutRest } from './pacing.ts';
import { touchedIds, type TouchedIdsSource } from './touched-ids.ts';

export interface FullTextVerificationOptions extends TouchedIdsSource {
  readonly applied: (node: string, shard: string) => number;
  readonly head: () => number;
  readonly clock: Clock;
}

export interface FullTextRequest {
  /** Ids of all copies. */
  readonly ids: readonly string[];
  /** Ids that are checked in any case. */
  readonly suspects: readonly string[];
  /** How long the comparison of the copies took. */
  readonly comparedMs: number;
  /** Whether the nodes may spend as much time as the check takes: something was found before. */
  readonly isUnlimited: boolean;
  /** Whether clients come first: a node rests after each scan for as long as it took. */
  readonly yields: boolean;
  /** How long the copies' reads make a node rest, as a multiple of what they take. */
  readonly rest: number;
  readonly term: Term;
}

const SAMPLES = 8;
const ATTEMPTS_MAX = 5;
const PAUSE_MS = 200;
// Time of a node for each shard that is verified, as a part of what comparing the records took. Unused time adds up for
// shards that have less than a scan takes, so that these are checked now and then.
const SHARE = 0.25;
const BASE_MS = 5;
const CREDIT_MS_MAX = 10_000;
// What shows a missing text is left out only where one scan takes seconds.
const DEBT_MS_MAX = 2_000;
// As long as a query takes: no reason to rest.
const SHORT_SCAN_MS = 20;

export class FullTextVerification {
  readonly #options: FullTextVerificationOptions;
  /** By node, ms; negative after a scan that took longer than expected. */
  readonly #credits = new Map<string, number>();
  /** Makes each verification choose other records. */
  #turn = 0;

  constructor(options: FullTextVerificationOptions) {
    this.#options = options;
  }

  /** Reasons by node: what two checks in a row found, and no entry explains. Throws NodeError, TermOver. */
  async verify(
    shard: string,
    copies: readonly ComparedCopy[],
    request: FullTextRequest,
  ): Promise<ReadonlyMap<string, string>> {
    const { ids, suspects, comparedMs, isUnlimited, term } = request;
    const { applied, head, clock } = this.#options;
    const sample = sampleOf(ids, suspects, this.#turn++).slice(0, suspects.length + SAMPLES);
    const shareMs = SHARE * comparedMs;
    for (const { node } of copies) this.#grant(node, BASE_MS + shareMs);
    let before: ReadonlyMap<string, string> = new Map();
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (term.signal.aborted) throw new TermOver();
      const after = Math.min(...copies.map(({ node }) => applied(node, shard)));
      const budget = this.#budget(isUnlimited || attempt > 0 ? Infinity : shareMs, request);
      const faults = await fullTextFaults(copies, sample, { budget, clock });
      if (faults.size === 0) return new Map();
      const touched = await touchedIds(this.#options, shard, { after, upTo: head() }, term.signal);
      // A server fails reads of a collection whose first write, or deletion, is in flight.
      const existed = sample.some((id) => !touched.has(id));
      const isCertain = ({ id }: FullTextFault): boolean => (id === null ? existed : !touched.has(id));
      const now = new Map<string, string>();
      for (const [node, found] of faults) {
        const fault = found.find(isCertain);
        if (fault !== undefined) now.set(node, fault.reason);
      }
      const confirmed = [...now].filter(([node]) => before.has(node));
      if (confirmed.length > 0) return new Map(confirmed);
      before = now;
      await sleep(clock, PAUSE_MS, term.signal);
    }
    return new Map();
  }

  #grant(node: string, ms: number): void {
    this.#credits.set(node, Math.min(CREDIT_MS_MAX, (this.#credits.get(node) ?? 0) + ms));
  }

  /** A node may spend so much, and what is left of earlier grants. */
  #budget(shareMs: number, { yields, rest, term }: FullTextRequest): ScanBudget {
    const spent = new Map<string, number>();
    const left = (node: string): number => this.#credits.get(node) ?? 0;
    return {
      allows: (node, isEssential) =>
        (spent.get(node) ?? 0) < shareMs || left(node) > (isEssential ? -DEBT_MS_MAX : 0),
      spend: async (node, msWithRest) => {
        const ms = rest > 0 ? withoutRest(msWithRest, rest) : msWithRest;
        spent.set(node, (spent.get(node) ?? 0) + ms);
        this.#credits.set(node, left(node) - ms);
        if (yields && rest === 0 && ms > SHORT_SCAN_MS) await sleep(this.#options.clock, ms, term.signal);
      },
    };
  }
}
