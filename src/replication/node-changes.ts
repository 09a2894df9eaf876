// What operators do to nodes: each change begins while this gateway leads, and ends when the cluster has followed it.

import { PolychromeError } from '../errors.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import { canServe } from '../nodes/node-state.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { Follower, Followers } from './follower.ts';
import type { Leader } from './leader.ts';
import type { Positions } from './positions.ts';

export interface NodeChangesOptions {
  readonly leader: Pick<Leader, 'term' | 'primary' | 'promote'>;
  readonly followers: Pick<Followers, 'all'>;
  readonly positions: Pick<Positions, 'applied'>;
  readonly logBuffer: Pick<LogBuffer, 'head'>;
  readonly clock: Clock;
}

const POLL_MS = 50;
// A serving node is at most some seconds of writes behind (replication/leader.ts); one that needs longer is overloaded.
const PROMOTION_MS_MAX = 60_000;

export class NodeChanges {
  readonly #options: NodeChangesOptions;

  constructor(options: NodeChangesOptions) {
    this.#options = options;
  }

  /** Throws PolychromeError when a change of this node cannot be begun on this gateway. */
  require(id: string): Follower {
    if (this.#options.leader.term === null) {
      throw new PolychromeError(
        'not_leader',
        'This gateway does not lead at the moment, so it cannot change nodes; nothing was changed. Send the command to the leader (GET /status names it).',
      );
    }
    const found = this.#options.followers.all().find(({ member }) => member.id === id);
    if (found !== undefined) return found;
    throw new PolychromeError('not_found', `There is no node "${id}" in this cluster.`);
  }

  /** Makes the node primary once it has applied what the log holds now. Writes continue meanwhile. */
  async promote(id: string, report: ReportProgress, signal: AbortSignal): Promise<{ before: string | null }> {
    const { leader, positions, logBuffer } = this.#options;
    const { node: before } = leader.primary;
    const { head } = logBuffer;
    const from = positions.applied(id);
    await this.#until(
      () => {
        this.#requireServing(id);
        report({
          phase: 'applying the log',
          done: Math.min(positions.applied(id), head) - from,
          total: head - from,
          unit: 'entries',
        });
        return positions.applied(id) >= head;
      },
      `node "${id}" has not applied LSN ${head}`,
      signal,
    );
    leader.promote(id);
    try {
      await this.#until(() => leader.primary.node === id, `node "${id}" was not elected`, signal);
    } catch (error) {
      leader.promote(null);
      throw error;
    }
    return { before };
  }

  #requireServing(id: string): void {
    const { state } = this.require(id).member;
    if (canServe(state)) return;
    throw new PolychromeError(
      'conflict',
      `Node "${id}" is ${state}; only a serving node can become primary. Nothing was changed.`,
    );
  }

  async #until(isReached: () => boolean, otherwise: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const limit = clock.monotonic() + PROMOTION_MS_MAX;
    while (!isReached()) {
      signal.throwIfAborted();
      if (clock.monotonic() >= limit) {
        throw new PolychromeError(
          'conflict',
          `After ${PROMOTION_MS_MAX / 1_000} s ${otherwise}; the primary is still ${this.#options.leader.primary.node}.`,
        );
      }
      await sleep(clock, POLL_MS, signal);
    }
  }
}
