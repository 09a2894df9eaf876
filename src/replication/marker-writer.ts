// Writes each node's progress onto the node itself, every second while it changes.

import { TermOver, type Term } from '../coordination/term.ts';
import type { Head } from '../log/postgres-log.ts';
import { follows } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Logger } from '../util/logger.ts';
import type { Follower } from './follower.ts';
import type { NodeSteps } from './node-steps.ts';

export interface MarkerWriterOptions {
  readonly steps: NodeSteps;
  readonly nodeStore: Pick<NodeStore, 'marked'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A node that comes back is verified from its marker on: a second of writes costs little to compare.
const INTERVAL_MS = 1_000;

export class MarkerWriter {
  readonly #options: MarkerWriterOptions;

  constructor(options: MarkerWriterOptions) {
    this.#options = options;
  }

  /** Keeps one node's marker up to date until the term is over. */
  async run(follower: Follower, term: Term, { logId }: Pick<Head, 'logId'>): Promise<void> {
    const { clock, logger } = this.#options;
    const { member } = follower;
    while (!term.signal.aborted) {
      await sleep(clock, INTERVAL_MS, term.signal);
      try {
        if (term.held() && follows(member.state)) await this.#write(follower, term, logId);
      } catch (error) {
        if (!(error instanceof TermOver))
          logger.warn({ node: member.id, error: String(error) }, 'marker not written');
      }
    }
  }

  async #write({ member, applier, admission }: Follower, term: Term, log: string): Promise<void> {
    const { steps, nodeStore } = this.#options;
    const { mark } = applier;
    if (mark === null || mark.lsn <= member.markerLSN) return;
    crashPoint('marker_before');
    const progress = { log, checkpoint: mark.lsn, token: mark.token };
    await steps.run(member.id, () => admission.writeMarker({ progress }, term), term);
    crashPoint('marker_after');
    await nodeStore.marked(term.epoch, member.id, mark.lsn);
    member.markerLSN = mark.lsn;
  }
}
