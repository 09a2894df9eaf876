// Writes each node's progress into the node's marker, every second while it changes. The term and a suspicion are written at
// once: gateways that cannot reach PostgreSQL learn of them from markers (R17).

import { TermOver, type Term } from '../coordination/term.ts';
import type { Head } from '../log/postgres-log.ts';
import { follows } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Logger } from '../util/logger.ts';
import { Notifier } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import type { Follower } from './follower.ts';
import type { NodeSteps } from './node-steps.ts';

export interface MarkerWriterOptions {
  readonly steps: NodeSteps;
  readonly nodeStore: Pick<NodeStore, 'marked'>;
  /** The view number with which a copy on the node became suspect last. */
  readonly lastSuspicion: (node: string) => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A node that comes back is verified from its marker on: a second of writes costs little to compare.
const INTERVAL_MS = 1_000;

export class MarkerWriter {
  readonly #options: MarkerWriterOptions;
  readonly #raised = new Notifier();

  constructor(options: MarkerWriterOptions) {
    this.#options = options;
  }

  /** Announces a suspicion in the marker of its node, at once if it responds. */
  announceSuspicion(): void {
    this.#raised.notify();
  }

  /** Keeps one node's marker up to date until the term is over. */
  async run(follower: Follower, term: Term, { logId }: Pick<Head, 'logId'>): Promise<void> {
    const { lastSuspicion, logger } = this.#options;
    const { member } = follower;
    let announced: number | null = null;
    while (!term.signal.aborted) {
      const suspicion = lastSuspicion(member.id);
      try {
        if (term.held() && follows(member.state)) {
          await this.#write(follower, term, { logId, suspicion: suspicion === announced ? null : suspicion });
          announced = suspicion;
        }
      } catch (error) {
        if (!(error instanceof TermOver))
          logger.warn({ node: member.id, error: String(error) }, 'marker not written');
      }
      if (suspicion === lastSuspicion(member.id))
        await this.#pause(announced === null ? member.changed : this.#raised, term.signal);
    }
  }

  /** Ends early when there may be something to announce. */
  async #pause(announce: Notifier, signal: AbortSignal): Promise<void> {
    const { controller, unlink } = linkedAbort(signal);
    await Promise.race([
      sleep(this.#options.clock, INTERVAL_MS, controller.signal),
      announce.wait(controller.signal),
    ]);
    controller.abort();
    unlink();
  }

  async #write(
    { member, applier, admission }: Follower,
    term: Term,
    { logId, suspicion }: { readonly logId: string; readonly suspicion: number | null },
  ): Promise<void> {
    const { steps, nodeStore } = this.#options;
    const { mark } = applier;
    // The next verification begins at the marker: it must find again what this one could not decide.
    const isAhead = mark !== null && mark.lsn > member.markerLSN && mark.lsn >= member.minServingLSN;
    if (!isAhead && suspicion === null) return;
    crashPoint('marker_before');
    const progress = isAhead ? { progress: { log: logId, checkpoint: mark.lsn, token: mark.token } } : {};
    const announced = suspicion === null ? {} : { view: suspicion, epoch: term.epoch };
    const changes = { ...progress, ...announced };
    await steps.run(member.id, () => admission.writeMarker(changes, term), term);
    crashPoint('marker_after');
    if (!isAhead) return;
    await nodeStore.marked(term.epoch, member, mark.lsn);
    member.markerLSN = mark.lsn;
  }
}
