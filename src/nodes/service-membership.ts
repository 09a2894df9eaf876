// Keeps the list of nodes equal to what a DNS name has: a node that appears joins, one that is gone for good is removed.

import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import type { MemberRow, NodeLocation } from './member-store.ts';

export interface ServiceMembershipOptions {
  /** Adds nodes that the list has never had. */
  readonly seed: (nodes: readonly NodeLocation[]) => Promise<void>;
  /** Adds a node that was removed. Rejects when its server cannot join. */
  readonly rejoin: (node: NodeLocation) => Promise<void>;
  /** Removes a node, unless it has the only copy of something. */
  readonly remove: (id: string) => Promise<void>;
  /** Null: no node is removed. */
  readonly forgetAfterMs: number | null;
  readonly leads: () => boolean;
  readonly primary: () => string | null;
  readonly serving: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

// With fewer, the cluster would be one failure away from losing data or service.
const SERVING_MIN = 2;

export class ServiceMembership {
  readonly #options: ServiceMembershipOptions;
  /** Since when every response lacked the node, clock.monotonic() ms. */
  readonly #absentSince = new Map<string, number>();
  /** Removed nodes that a response has lacked since: when they appear again, they join again. */
  readonly #departed = new Set<string>();
  /** The last failure with each node, so that it is logged once. */
  readonly #failures = new Map<string, string>();

  constructor(options: ServiceMembershipOptions) {
    this.#options = options;
  }

  /** The name could not be resolved: what that would say about a node is unknown. */
  unknown(): void {
    this.#absentSince.clear();
  }

  /** Follows a response, which is not empty. Whether the list was changed. */
  async follow(found: readonly NodeLocation[], members: readonly MemberRow[]): Promise<boolean> {
    const { seed, leads, logger } = this.#options;
    const added = found.filter(({ id }) => !members.some((member) => member.id === id));
    if (added.length > 0) {
      await seed(added);
      logger.info({ nodes: added.map(({ id }) => id) }, 'nodes found by DNS');
    }
    let hasChanged = added.length > 0;
    for (const { id, removed } of members) {
      const location = found.find((each) => each.id === id);
      if (removed && location === undefined) this.#departed.add(id);
      if (removed && location !== undefined && leads() && this.#departed.has(id))
        hasChanged = (await this.#rejoin(location)) || hasChanged;
      if (!removed) hasChanged = (await this.#absence(id, location !== undefined)) || hasChanged;
    }
    return hasChanged;
  }

  async #rejoin(location: NodeLocation): Promise<boolean> {
    const { id } = location;
    const isDone = await this.#attempt(id, 'node not added', () => this.#options.rejoin(location));
    if (isDone) this.#departed.delete(id);
    return isDone;
  }

  /** Removes a node that has been absent for long enough, does not serve, and is not needed. */
  async #absence(id: string, isPresent: boolean): Promise<boolean> {
    const { forgetAfterMs, leads, primary, serving, remove, clock } = this.#options;
    if (isPresent) {
      this.#absentSince.delete(id);
      return false;
    }
    const since = this.#absentSince.get(id) ?? clock.monotonic();
    this.#absentSince.set(id, since);
    if (forgetAfterMs === null || clock.monotonic() - since < forgetAfterMs || !leads()) return false;
    if (primary() === id || serving().includes(id) || serving().length < SERVING_MIN) return false;
    const isRemoved = await this.#attempt(id, 'node not removed', () => remove(id));
    if (isRemoved) this.#departed.add(id);
    return isRemoved;
  }

  async #attempt(id: string, failure: string, task: () => Promise<void>): Promise<boolean> {
    const { logger } = this.#options;
    try {
      await task();
      this.#failures.delete(id);
      return true;
    } catch (error) {
      const text = String(error);
      if (this.#failures.get(id) !== text) logger.warn({ node: id, error: text }, failure);
      this.#failures.set(id, text);
      return false;
    }
  }
}
