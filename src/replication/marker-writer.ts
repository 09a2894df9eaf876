// Writes each node's progress onto the node itself, every second while it changes, and at once what other gateways must know
// of a suspicion (R17).

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
  /** The view number that this gateway knows. */
  readonly view: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

// A node that comes back is verified from its marker on: a second of writes costs little to compare.
const INTERVAL_MS = 1_000;

export class MarkerWriter {
  readonly #options: MarkerWriterOptions;
  /** At least this view number is to be in each marker. */
  #view = 0;
  readonly #raised = new Notifier();

  constructor(options: MarkerWriterOptions) {
    this.#options = options;
  }

  /** Writes the present view number into the marker of each node, at once where it responds. */
  publishView(): void {
    this.#view = Math.max(this.#view, this.#options.view());
    this.#raised.notify();
  }

  /** Keeps one node's marker up to date until the term is over. */
  async run(follower: Follower, term: Term, { logId }: Pick<Head, 'logId'>): Promise<void> {
    const { logger } = this.#options;
    const { member } = follower;
    let view = 0;
    while (!term.signal.aborted) {
      const wanted = this.#view;
      try {
        if (term.held() && follows(member.state)) {
          await this.#write(follower, term, { logId, view: wanted > view ? wanted : null });
          view = wanted;
        }
      } catch (error) {
        if (!(error instanceof TermOver))
          logger.warn({ node: member.id, error: String(error) }, 'marker not written');
      }
      await this.#pause(wanted, term.signal);
    }
  }

  /** Ends early when the view number was raised since. */
  async #pause(wanted: number, signal: AbortSignal): Promise<void> {
    if (this.#view > wanted) return;
    const { controller, unlink } = linkedAbort(signal);
    await Promise.race([
      sleep(this.#options.clock, INTERVAL_MS, controller.signal),
      this.#raised.wait(controller.signal),
    ]);
    controller.abort();
    unlink();
  }

  async #write(
    { member, applier, admission }: Follower,
    term: Term,
    { logId, view }: { readonly logId: string; readonly view: number | null },
  ): Promise<void> {
    const { steps, nodeStore } = this.#options;
    const { mark } = applier;
    const isAhead = mark !== null && mark.lsn > member.markerLSN;
    if (!isAhead && view === null) return;
    crashPoint('marker_before');
    const progress = isAhead ? { progress: { log: logId, checkpoint: mark.lsn, token: mark.token } } : {};
    const changes = { ...progress, ...(view === null ? {} : { view }) };
    await steps.run(member.id, () => admission.writeMarker(changes, term), term);
    crashPoint('marker_after');
    if (!isAhead) return;
    await nodeStore.marked(term.epoch, member.id, mark.lsn);
    member.markerLSN = mark.lsn;
  }
}
