// The rate of a task and the time it still needs, from its reports of the last seconds.

import type { ProgressReport } from '../../util/progress.ts';

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

// Long enough to even out the pauses of a task that works in batches, short enough to follow a change of its rate.
const WINDOW_MS = 10_000;
// Samples closer together than this add nothing; it bounds them to a dozen.
const APART_MS = 1_000;

export class ProgressRate {
  #phase: string | null = null;
  #samples: Sample[] = [];

  /** Takes a report made at `atMs` (monotonic); the rate and the remaining time, null while not known. */
  observe(
    { phase, done, total }: ProgressReport,
    atMs: number,
  ): { readonly perSecond: number | null; readonly remainingMs: number | null } {
    if (phase !== this.#phase) this.#samples = [];
    this.#phase = phase;
    this.#samples = this.#samples.filter((sample, index) => {
      // The youngest sample beyond the window stays: a slow task reports less often than once per window.
      const next = this.#samples[index + 1];
      return next === undefined || atMs - next.atMs < WINDOW_MS;
    });
    const last = this.#samples.at(-1);
    if (last === undefined || atMs - last.atMs >= APART_MS) this.#samples.push({ atMs, done });
    const first = this.#samples[0];
    const elapsedMs = first === undefined ? 0 : atMs - first.atMs;
    if (first === undefined || elapsedMs <= 0) return { perSecond: null, remainingMs: null };
    const perSecond = ((done - first.done) / elapsedMs) * 1_000;
    if (total === null || perSecond <= 0) return { perSecond, remainingMs: null };
    return { perSecond, remainingMs: (Math.max(0, total - done) / perSecond) * 1_000 };
  }
}
