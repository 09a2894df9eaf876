// Records the states of nodes in PostgreSQL while this gateway has the lease: one statement in flight for each node, so that
// the state recorded last is the present one.

import type { RecordedNode } from '../coordination/cluster-snapshot.ts';
import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { NodeStore } from './node-store.ts';
import type { Node } from './node.ts';

export interface StateRecorderOptions {
  readonly store: Pick<NodeStore, 'update'>;
  readonly find: (id: string) => Node | null;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

const RETRY_MS = 200;

export class StateRecorder {
  readonly #options: StateRecorderOptions;
  #term: Term | null = null;
  /** Nodes whose state is being recorded; true when it has changed since the statement was sent. */
  readonly #recording = new Map<Node, boolean>();

  constructor(options: StateRecorderOptions) {
    this.#options = options;
  }

  /** From now on states are recorded in this term. */
  begin(term: Term): void {
    this.#term = term;
  }

  /** Records the present state, soon; nothing while this gateway does not have the lease. */
  record(node: Node): void {
    const isRecording = this.#recording.has(node);
    this.#recording.set(node, true);
    if (!isRecording) void this.#run(node).finally(() => this.#recording.delete(node));
  }

  /** Records what PostgreSQL has otherwise: a new leader's view of its nodes, or what a promoted standby lacks. */
  reconcile(recorded: readonly RecordedNode[]): void {
    const epoch = this.#heldTerm?.epoch ?? null;
    if (epoch === null) return;
    for (const { id, state, stateEpoch } of recorded) {
      const node = this.#options.find(id);
      if (node !== null && (node.state !== state || stateEpoch !== epoch)) this.record(node);
    }
  }

  get #heldTerm(): Term | null {
    return this.#term?.held() === true ? this.#term : null;
  }

  async #run(node: Node): Promise<void> {
    const { store, find, clock, logger } = this.#options;
    while (this.#recording.get(node) === true) {
      const term = this.#heldTerm;
      // A node that has left, or begun again, has no state any more.
      if (term === null || find(node.id) !== node) return;
      this.#recording.set(node, false);
      try {
        await store.update(term.epoch, node, node.state, node.reason);
      } catch (error) {
        logger.warn({ node: node.id, error: String(error) }, 'node state not recorded');
        this.#recording.set(node, true);
        await sleep(clock, RETRY_MS, term.signal);
      }
    }
  }
}
