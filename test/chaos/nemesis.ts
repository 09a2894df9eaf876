// Strikes a chaos cluster with faults, some at once, and ends each of them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../support/draw.ts';
import { drawFault, type ChaosFault, type Field, type Targets } from './faults.ts';

export interface NemesisOptions {
  readonly random: Random;
  readonly targets: Targets;
  readonly longestFaultMs: number;
  /** So many at least, however long they take. */
  readonly faultsMin: number;
  readonly log: (line: string) => void;
}

// Two overlap at most times; between faults there is time for writes, which are what faults endanger.
const AT_ONCE_MAX = 2;
const BETWEEN_MS_MAX = 3_000;

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly #active = new Map<string, Promise<void>>();
  readonly byKind = new Map<string, number>();
  /** Faults that could not be caused at their moment. */
  skipped = 0;
  /** Faults that go on, and why. */
  readonly #notEnded: string[] = [];

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  get struck(): number {
    return [...this.byKind.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Causes faults until `end`, and at least the least number; resolves when all of them have ended. */
  async strikeUntil(end: number, field: Field): Promise<void> {
    const { random, targets, longestFaultMs, faultsMin } = this.#options;
    while (performance.now() < end || this.struck < faultsMin) {
      const fault = drawFault(random, targets, longestFaultMs);
      const betweenMs = random() * BETWEEN_MS_MAX;
      await this.#active.get(fault.target);
      await this.#strike(fault, field);
      while (this.#active.size >= AT_ONCE_MAX) await Promise.race(this.#active.values());
      await pause(betweenMs);
    }
    await Promise.all(this.#active.values());
    if (this.#notEnded.length > 0) throw new Error(this.#notEnded.join('; '));
  }

  async #strike(fault: ChaosFault, field: Field): Promise<void> {
    const { log } = this.#options;
    const { kind, target, lastsMs } = fault;
    try {
      const over = await fault.strike(field);
      log(`${kind}: ${target}${over === null ? '' : `, ${lastsMs} ms`}`);
      this.byKind.set(kind, (this.byKind.get(kind) ?? 0) + 1);
      if (over === null) return;
      const lasting = pause(lastsMs)
        .then(over)
        .catch(
          (error: unknown) => void this.#notEnded.push(`${kind}: ${target}, not ended: ${String(error)}`),
        )
        .finally(() => this.#active.delete(target));
      this.#active.set(target, lasting);
    } catch (error) {
      this.skipped += 1;
      log(`${kind}: ${target}, not possible: ${(error as Error).message}`);
    }
  }
}
