// Staggers long calls over the nodes, so that with two or more serving nodes one is always free for reads. One replica
// at a time makes a long call; the primary may make its own meanwhile, while a third node is free. A replica whose call takes
// very long holds up no other one.

import type { Term } from '../coordination/term.ts';
import { TermOver } from '../coordination/term.ts';
import type { Clock } from '../util/clock.ts';
import { onAbort } from '../util/race.ts';

export interface StaggerOptions {
  /** Nodes that reads may be sent to. */
  readonly serving: () => readonly string[];
  readonly primary: () => string | null;
  readonly clock: Clock;
}

// Calls are made so small that a node of usual speed needs about a second (replication/workload.ts).
const SLOW_MS = 3_000;

/** The long calls that a node has in flight. */
interface LongCalls {
  count: number;
  /** When the first of them began, clock.monotonic() ms. */
  readonly sinceMs: number;
  /** Cancels what is due once they have taken very long. */
  readonly cancel: () => void;
}

interface QueuedTurn {
  readonly node: string;
  readonly start: () => void;
}

export class Stagger {
  readonly #options: StaggerOptions;
  readonly #long = new Map<string, LongCalls>();
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
    const isReplicaLong = others.some((other) => other !== primary && this.#isLongForUsualTime(other));
    if (node !== primary && isReplicaLong) return false;
    return others.some((other) => !this.#long.has(other));
  }

  #isLongForUsualTime(node: string): boolean {
    const calls = this.#long.get(node);
    return calls !== undefined && this.#options.clock.monotonic() - calls.sinceMs < SLOW_MS;
  }

  #begin(node: string): () => void {
    const calls = this.#long.get(node);
    if (calls !== undefined) calls.count += 1;
    else {
      const { clock } = this.#options;
      const cancel = clock.after(SLOW_MS, () => this.reconsider());
      this.#long.set(node, { count: 1, sinceMs: clock.monotonic(), cancel });
    }
    return () => this.#end(node);
  }

  #end(node: string): void {
    const calls = this.#long.get(node);
    if (calls !== undefined && --calls.count === 0) {
      calls.cancel();
      this.#long.delete(node);
    }
    this.reconsider();
  }
}
