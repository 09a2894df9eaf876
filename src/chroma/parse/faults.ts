// The faults of meaning in a body whose shape is right. A server looks for them step by step and tells the first it
// finds; what it finds within one step of validation it tells together.

import { invalid, type Refusal } from './refusal.ts';

/**
 * The steps, in the order in which 1.0.5 and 1.3.4 take them (observed); each release lacks some. Between `mixed` and
 * `lengths` the dimension is compared with the collection's. `ours` is what servers take and should not.
 */
const STEPS = ['decoding', 'embeddings', 'metadatas', 'mixed', 'lengths', 'ids', 'sparse', 'ours'] as const;
export type Step = (typeof STEPS)[number];

const VALIDATION = 'Validation error: ';

export class Faults {
  readonly #told = new Map<Step, Refusal>();

  /** Takes note of a fault; of several at one step the first counts. */
  add(step: Step, fault: string | Refusal): void {
    if (this.#told.has(step)) return;
    this.#told.set(step, typeof fault === 'string' ? invalid(fault) : fault);
  }

  /** What a server answers, or null when there is no fault; `dimension` is the length of the embeddings. */
  refusal(dimension: number | null): Refusal | null {
    const step = STEPS.find((candidate) => this.#told.has(candidate));
    const refusal = step === undefined ? undefined : this.#told.get(step);
    if (step === undefined || refusal === undefined) return null;
    const compared = STEPS.indexOf(step) > STEPS.indexOf('mixed');
    return {
      ...refusal,
      message: this.#withMetadata(step, refusal),
      after: { dimension: compared ? dimension : null },
    };
  }

  // Embeddings and metadatas are validated in one step, and all of its faults told, one a line.
  #withMetadata(step: Step, { message }: Refusal): string {
    const other = step === 'embeddings' ? this.#told.get('metadatas') : undefined;
    return other === undefined ? message : `${message}\n${other.message.slice(VALIDATION.length)}`;
  }
}
