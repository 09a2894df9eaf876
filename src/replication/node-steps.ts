// Admissions and marker writes in flight: a node that hangs keeps no term from ending, and gets no second step before
// it has responded to the first.

import { orOver, type Term } from '../coordination/term.ts';

export class NodeSteps {
  readonly #inFlight = new Map<string, Set<Promise<unknown>>>();

  /** Runs `step` once the node's earlier steps, those of other terms included, have ended. Throws TermOver. */
  async run(node: string, step: () => Promise<void>, term: Term): Promise<void> {
    await orOver(this.ended(node), term);
    const begun = step();
    const steps = this.#inFlight.get(node) ?? new Set();
    this.#inFlight.set(node, steps);
    const ended = begun.catch(() => undefined).finally(() => steps.delete(ended));
    steps.add(ended);
    await orOver(begun, term);
  }

  isInFlight(node: string): boolean {
    return (this.#inFlight.get(node)?.size ?? 0) > 0;
  }

  /** Resolves when the steps in flight at this moment have ended. */
  async ended(node: string): Promise<void> {
    await Promise.all(this.#inFlight.get(node) ?? []);
  }
}
