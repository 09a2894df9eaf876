// Generates sequences from a seed, runs them, and shrinks what fails.

import fc from 'fast-check';
import { compareSequence, type Endpoints, Mismatch, newTally, type Tally } from './compare.ts';
import type { Operation } from './operation.ts';
import { operationSequence } from './operations.ts';

export interface CheckOptions {
  readonly endpoints: Endpoints;
  /** Number of sequences. */
  readonly runs: number;
  readonly seed: number;
  /** Called after each passed sequence with the number so far. */
  readonly onProgress?: (done: number) => void;
}

export interface Failure {
  /** The shortest failing sequence found. */
  readonly operations: readonly Operation[];
  readonly message: string;
}

export interface CheckResult {
  readonly tally: Tally;
  readonly failure: Failure | null;
}

/** A failure is shrunk for so long at most; each try is a sequence of its own on both servers. */
const SHRINK_MS_MAX = 120_000;

/**
 * Runs `runs` sequences, the same ones for the same seed, up to the first that fails. One after the other: a bare
 * server under concurrent writes answers "database is locked" now and then.
 */
export async function check({ endpoints, runs, seed, onProgress }: CheckOptions): Promise<CheckResult> {
  const tally = newTally();
  let shrinkUntil: number | null = null;
  const property = fc.asyncProperty(operationSequence, async (operations) => {
    if (shrinkUntil !== null && performance.now() > shrinkUntil) return;
    try {
      await compareSequence(endpoints, operations, shrinkUntil === null ? tally : newTally());
    } catch (error) {
      shrinkUntil ??= performance.now() + SHRINK_MS_MAX;
      throw error;
    }
    if (shrinkUntil === null) onProgress?.(tally.sequences);
  });
  const details = await fc.check(property, { seed, numRuns: runs });
  if (!details.failed) return { tally, failure: null };
  const { errorInstance, counterexample } = details;
  const message = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  const needed = errorInstance instanceof Mismatch ? errorInstance.index + 1 : Infinity;
  return { tally, failure: { operations: counterexample?.[0]?.slice(0, needed) ?? [], message } };
}
