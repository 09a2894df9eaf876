// Staggers long calls over the nodes, so that with two or more serving nodes one is always free for reads. One replica
// at a time makes a long call; the primary may make its own meanwhile, while a third node is free.

import type { Term } from '../coordination/term.ts';
import { TermOver } from '../coordination/term.ts';
import { onAbort } from '../util/race.ts';

export interface StaggerOptions {
  /** Nodes that reads may be sent to. */
  readonly serving: () => readonly string[];
  readonly primary: () => string | null;
}

interface QueuedTurn {
  readonly node: string;
  readonly start: () => void;
}

export class Stagger {
  readonly #options: StaggerOptions;
  /** Nodes with a long call in flight, and how many. */
  readonly #long = new Map<string, number>();
  #waiters: QueuedTurn[] = [];

  constructor(options: StaggerOptions) {
    this.#options = options;
  }

  /** Resolves, in order of request, when the node may make a long call; call the result when it has ended. */
  async turn(node: string, term: Term): Promise<() => void> {
    if (this.#mayStart(node)) return this.#begin(node);
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiters = this.#waiters.filter((each) => each !== waiter);
        reject(new TermOver());
      };
      const start = (): void => {
        unsubscribe();
        resolve();
      };
      const waiter: QueuedTurn = { node, start };
      if (term.signal.aborted) return reject(new TermOver());
      this.#waiters.push(waiter);
      const unsubscribe = onAbort(term.signal, leave);
    });
    // Counted when it was started, so that no other node could take its place meanwhile.
    return () => this.#end(node);
  }

  /** The states or roles of nodes have changed: others may start. */
  reconsider(): void {
    for (const waiter of this.#waiters) {
      if (!this.#mayStart(waiter.node)) continue;
      this.#waiters = this.#waiters.filter((each) => each !== waiter);
      this.#begin(waiter.node);
      waiter.start();
    }
  }

  #mayStart(node: string): boolean {
    const serving = this.#options.serving();
    const others = serving.filter((other) => other !== node);
    // A node that serves no reads delays none, and a single node has no other to alternate with.
    if (!serving.includes(node) || others.length === 0 || this.#long.has(node)) return true;
    const primary = this.#options.primary();
    const isReplicaLong = others.some((other) => other !== primary && this.#long.has(other));
    if (node !== primary && isReplicaLong) return false;
    return others.some((other) => !this.#long.has(other));
  }

  #begin(node: string): () => void {
    this.#long.set(node, (this.#long.get(node) ?? 0) + 1);
    return () => this.#end(node);
  }

  #end(node: string): void {
    const left = (this.#long.get(node) ?? 1) - 1;
    if (left > 0) this.#long.set(node, left);
    else this.#long.delete(node);
    this.reconsider();
  }
}
