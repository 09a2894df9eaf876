// Keeps this gateway registered in PostgreSQL, so that others reckon with what it acknowledges.

import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { GatewayDescription, GatewayStore, RegisteredGateway } from './gateway-store.ts';
import type { Knowledge } from './knowledge.ts';

export interface RegistrationOptions {
  readonly store: Pick<GatewayStore, 'register' | 'seen' | 'leave' | 'list'>;
  readonly knowledge: Pick<Knowledge, 'registered' | 'seen'>;
  readonly description: () => GatewayDescription;
  /** Nodes that respond to the probes of this gateway. */
  readonly nodesReached: () => number;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

export class Registration {
  readonly #options: RegistrationOptions;
  #isRegistered = false;
  #gateways: readonly RegisteredGateway[] = [];

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** The registered gateways, as they were read last. */
  get gateways(): readonly RegisteredGateway[] {
    return this.#gateways;
  }

  /** Stays registered until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, leaseMs, logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#refresh();
      } catch (error) {
        logger.warn({ error: String(error) }, 'gateway not registered');
      }
      await sleep(clock, leaseMs / 5, signal);
    }
    await this.#options.store.leave(this.#options.description().id).catch(() => undefined);
  }

  async #refresh(): Promise<void> {
    const { store, knowledge, description, nodesReached, clock } = this.#options;
    const self = description();
    const sentAt = clock.monotonic();
    // After a long pause others may have served as if this gateway was not there.
    this.#isRegistered &&= await store.seen(self.id, nodesReached());
    if (this.#isRegistered) knowledge.seen(sentAt);
    else {
      knowledge.registered(sentAt, await store.register(self));
      this.#isRegistered = true;
    }
    this.#gateways = await store.list();
  }
}
