// Collects the invalid values in a body of the right shape, and reports the one that a server reports.
//
// A server validates in steps and reports the first fault; embeddings and metadatas are one step, reported together.

import { invalidArgument, type Refusal } from './refusal.ts';

/**
 * The steps in the order of 1.0.5 and 1.3.4 (observed); each release lacks some. Between `mixed` and `lengths` the
 * dimension is compared with the collection's. `unsafe` is what servers accept with harmful effect.
 */
const STEPS = ['decoding', 'embeddings', 'metadatas', 'mixed', 'lengths', 'ids', 'sparse', 'unsafe'] as const;
export type ValidationStep = (typeof STEPS)[number];

const VALIDATION = 'Validation error: ';

export class Faults {
  readonly #found = new Map<ValidationStep, Refusal>();

  /** Adds a fault; the first of each step counts. */
  add(step: ValidationStep, fault: string | Refusal): void {
    if (this.#found.has(step)) return;
    this.#found.set(step, typeof fault === 'string' ? invalidArgument(fault) : fault);
  }

  /** The refusal that a server sends, or null without faults; `dimension` is the length of the embeddings. */
  refusal(dimension: number | null): Refusal | null {
    const step = STEPS.find((candidate) => this.#found.has(candidate));
    const refusal = step === undefined ? undefined : this.#found.get(step);
    if (step === undefined || refusal === undefined) return null;
    const compared = STEPS.indexOf(step) > STEPS.indexOf('mixed');
    return {
      ...refusal,
      message: this.#withMetadata(step, refusal),
      after: { dimension: compared ? dimension : null },
    };
  }

  // Embeddings and metadatas are validated in one step, and all its faults are reported, one per line.
  #withMetadata(step: ValidationStep, { message }: Refusal): string {
    const other = step === 'embeddings' ? this.#found.get('metadatas') : undefined;
    return other === undefined ? message : `${message}\n${other.message.slice(VALIDATION.length)}`;
  }
}
