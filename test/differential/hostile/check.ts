// Runs the cases of a seed, starting both sides again where Polychrome does not survive one.

import { hostileCases } from './generator.ts';
import type { HostileCase } from './hostile-case.ts';
import { type CaseResult, runCase } from './run.ts';
import { startSubjects, type Subjects } from './subjects.ts';

export interface HostileOptions {
  readonly seed: number;
  readonly runs: number;
  /** Only this case of the seed. */
  readonly only?: number | undefined;
  readonly chroma?: string | undefined;
  readonly onResult?: (result: HostileResult) => void;
}

export interface HostileResult extends CaseResult {
  readonly index: number;
  readonly hostile: HostileCase;
  readonly tookMs: number;
}

/** Every case in turn; the results of all, faults included. */
export async function checkHostile(options: HostileOptions): Promise<readonly HostileResult[]> {
  const { seed, runs, only, chroma, onResult } = options;
  const results: HostileResult[] = [];
  let subjects: Subjects | null = null;
  try {
    for (const [index, hostile] of hostileCases(seed, Math.max(runs, (only ?? 0) + 1)).entries()) {
      if (only !== undefined && index !== only) continue;
      subjects ??= await startSubjects(chroma);
      const started = performance.now();
      const outcome = await runCase(subjects, hostile);
      const result = { index, hostile, ...outcome, tookMs: performance.now() - started };
      results.push(result);
      onResult?.(result);
      if (result.isLive) continue;
      await subjects.stop();
      subjects = null;
    }
  } finally {
    await subjects?.stop();
  }
  return results;
}

export const titleOf = ({ index, hostile }: HostileResult): string =>
  `case ${index} (${hostile.kind}): ${hostile.about}`;
