// A progress bar on a terminal; where there is none, a plain line for every tenth.
import type { Clock } from '../src/util/clock.ts';

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

// Ten times a second looks smooth, and costs nothing beside the work it reports.
const REDRAW_MS = 100;
const BAR_WIDTH = 30;

export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #output: Output;
  readonly #clock: Clock;
  #done = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #milestones: { at: number; reach: () => void }[] = [];

  constructor(label: string, total: number, surroundings: { output: Output; clock: Clock }) {
    this.#label = label;
    this.#total = total;
    this.#output = surroundings.output;
    this.#clock = surroundings.clock;
    this.#draw(0);
  }

  advance(count: number): void {
    const before = this.#done;
    this.#done = Math.min(this.#total, before + count);
    this.#draw(before);
    this.#milestones = this.#milestones.filter(({ at, reach }) => {
      if (this.#done >= at) reach();
      return this.#done < at;
    });
  }

  /** Resolves once that share of the total is done. */
  reached(share: number): Promise<void> {
    const at = this.#total * share;
    if (this.#done >= at) return Promise.resolve();
    return new Promise((reach) => this.#milestones.push({ at, reach }));
  }

  /** A line of its own, above the bar. */
  note(line: string): void {
    this.#output.write(this.#output.isTTY ? `\r\u001b[K${line}\n` : `${line}\n`);
    this.#drawnMs = Number.NEGATIVE_INFINITY;
    if (this.#output.isTTY && this.#done < this.#total) this.#draw(this.#done);
  }

  #draw(before: number): void {
    const text = this.#text();
    if (!this.#output.isTTY) {
      const tenth = (count: number): number => Math.floor((count * 10) / this.#total);
      if (this.#done > before && tenth(this.#done) > tenth(before)) this.#output.write(`${text}\n`);
      return;
    }
    const nowMs = this.#clock.monotonic();
    const finished = this.#done === this.#total;
    if (finished ? before === this.#done : nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    // Some terminals say they have no columns at all.
    const columns = this.#output.columns || 80;
    this.#output.write(`\r\u001b[K${text.slice(0, columns - 1)}${finished ? '\n' : ''}`);
  }

  #text(): string {
    const share = this.#total === 0 ? 1 : this.#done / this.#total;
    const counts = `${Math.floor(share * 100)} %  ${this.#done} of ${this.#total}`;
    if (!this.#output.isTTY) return `${this.#label} ${counts}`;
    const filled = Math.round(share * BAR_WIDTH);
    return `${this.#label} ${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${counts}`;
  }
}
