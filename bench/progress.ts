// Progress display: a bar on a terminal, one line per step elsewhere.

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 24;
const CLEAR_LINE = '\r\u001B[K';

export class Progress {
  readonly #output: Output;
  readonly #startedAt = performance.now();
  readonly #total: number;
  #done = 0;

  /** `total` is the expected number of steps; it may be approximate. */
  constructor(total: number, output: Output) {
    this.#total = Math.max(1, total);
    this.#output = output;
  }

  /** Reports that the next step begins. */
  step(description: string): void {
    const share = Math.min(1, this.#done / this.#total);
    this.#done += 1;
    const percent = `${Math.round(share * 100)}%`.padStart(4);
    if (!this.#output.isTTY) {
      this.#output.write(`${percent}  ${description}\n`);
      return;
    }
    const filled = Math.round(share * BAR_WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
    const line = `${bar} ${percent} ${this.#remaining(share)} ${description}`;
    this.#output.write(`${CLEAR_LINE}${line.slice(0, (this.#output.columns ?? 80) - 1)}`);
  }

  finish(): void {
    if (this.#output.isTTY) this.#output.write(CLEAR_LINE);
  }

  #remaining(share: number): string {
    if (share < 0.02) return '';
    const seconds = ((performance.now() - this.#startedAt) / 1_000) * (1 / share - 1);
    return seconds > 90 ? `${Math.round(seconds / 60)} min left` : `${Math.round(seconds)} s left`;
  }
}
