// R18: the gateway that leads gives up the lease when another one reaches more nodes than it does.

import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { RegisteredGateway } from './gateway-store.ts';
import type { Term } from './term.ts';

export interface ReachComparisonOptions {
  readonly gatewayId: string;
  /** Nodes that this gateway reaches. */
  readonly nodesReached: () => number;
  /** The registered gateways, this one included. */
  readonly gateways: () => readonly RegisteredGateway[];
  /** Gives up the lease, and abstains from it for so long. */
  readonly abstain: (forMs: number) => void;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

const POLL_MS = 500;
// A node that restarts is noticed by all gateways within less.
const FEWER_MS = 5_000;
// Another gateway acquires a lease that was not released within little more than one.
const ABSTAIN_LEASES = 3;
// What a gateway reported longer ago may not be so any more.
const REPORTED_LEASES = 1;

export class ReachComparison {
  readonly #options: ReachComparisonOptions;

  constructor(options: ReachComparisonOptions) {
    this.#options = options;
  }

  /** Compares until the term is over, which it ends itself when another gateway reaches more nodes for a while. */
  async run(term: Term): Promise<void> {
    const { nodesReached, abstain, leaseMs, clock, logger } = this.#options;
    let fewerSince: number | null = null;
    while (!term.signal.aborted) {
      const [own, most] = [nodesReached(), this.#mostOfOthers()];
      fewerSince = own < most ? (fewerSince ?? clock.monotonic()) : null;
      if (fewerSince !== null && clock.monotonic() - fewerSince >= FEWER_MS) {
        logger.warn({ reached: own, other: most }, 'leadership given up: another gateway reaches more nodes');
        return abstain(ABSTAIN_LEASES * leaseMs);
      }
      await sleep(clock, POLL_MS, term.signal);
    }
  }

  #mostOfOthers(): number {
    const { gateways, gatewayId, leaseMs } = this.#options;
    const others = gateways().filter(
      ({ id, seenMsAgo }) => id !== gatewayId && seenMsAgo <= REPORTED_LEASES * leaseMs,
    );
    return Math.max(0, ...others.map(({ nodesReached }) => nodesReached));
  }
}
