// Keeps this gateway registered in PostgreSQL, so that others reckon with what it acknowledges.

import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { linkedAbort } from '../util/race.ts';
import type { GatewayDescription, GatewayStore, RegisteredGateway } from './gateway-store.ts';
import type { Knowledge } from './knowledge.ts';

export interface RegistrationOptions {
  readonly store: Pick<GatewayStore, 'register' | 'seen' | 'leave' | 'list'>;
  readonly knowledge: Pick<
    Knowledge,
    'registered' | 'seen' | 'newestGateway' | 'learnt' | 'knownToOthers' | 'isAwaitingOthers'
  >;
  readonly description: () => GatewayDescription;
  /** Nodes that respond to the probes of this gateway. */
  readonly nodesReached: () => number;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn'>;
}

// The others learn of a registration by their next poll, within a quarter of a second.
const AWAITING_MS = 100;

export class Registration {
  readonly #options: RegistrationOptions;
  /** Under which it is registered; null while it is not. */
  #number: number | null = null;
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
    const { logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#refresh();
      } catch (error) {
        logger.warn({ error: String(error) }, 'gateway not registered');
      }
      await this.#pause(signal);
    }
    await this.#options.store.leave(this.#options.description().id).catch(() => undefined);
  }

  /** Ends early when another gateway has become known, and waits for that to be recorded. */
  async #pause(signal: AbortSignal): Promise<void> {
    const { knowledge, clock, leaseMs } = this.#options;
    const ms = this.#number !== null && knowledge.isAwaitingOthers ? AWAITING_MS : leaseMs / 5;
    const { controller, unlink } = linkedAbort(signal);
    await Promise.race([
      sleep(clock, Math.min(ms, leaseMs / 5), controller.signal),
      knowledge.learnt.wait(controller.signal),
    ]);
    controller.abort();
    unlink();
  }

  async #refresh(): Promise<void> {
    const { store, knowledge, description, nodesReached, clock } = this.#options;
    const self = description();
    const sentAt = clock.monotonic();
    const { newestGateway: knows } = knowledge;
    // After a long pause others may have served as if this gateway was not there.
    const isSeen =
      this.#number !== null && (await store.seen(self.id, { nodesReached: nodesReached(), knows }));
    if (isSeen) knowledge.seen(sentAt);
    else {
      this.#number = null;
      const { others, number } = await store.register(self);
      knowledge.registered(sentAt, others);
      this.#number = number;
    }
    this.#gateways = await store.list();
    if (this.#isKnownToOthers(self.id)) knowledge.knownToOthers();
  }

  #isKnownToOthers(id: string): boolean {
    const number = this.#number;
    return number !== null && this.#gateways.every((other) => other.id === id || other.knows >= number);
  }
}
