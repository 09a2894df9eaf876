// Whether this gateway knows the present state of the cluster. What an outdated gateway would say could be wrong, in
// particular that something does not exist.

import { PolychromeError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import { Notifier } from '../util/notifier.ts';
import type { ClusterSnapshot } from './cluster-snapshot.ts';

// Others wait for a lease after they register, and count a gateway for three leases after they saw it last.
const SEEN_LEASES = 2;
// Clocks of gateways may run at slightly different rates.
const GRACE_LEASES = 1.1;

/** What a snapshot says of the other gateways. */
type OtherGateways = Pick<ClusterSnapshot, 'otherGateways' | 'newestGateway'>;

export class Knowledge {
  /** Notified when another gateway is taken into account that registered since. */
  readonly learnt = new Notifier();
  readonly #clock: Clock;
  readonly #leaseMs: number;
  /** When the state was last asked for that is loaded; clock.monotonic() ms; null before the first. */
  #knownAt: number | null = null;
  /** It has been current: some state was served from here. */
  #hasServed = false;
  /** PostgreSQL could not be asked since. */
  #isUnreachable = false;
  /** The highest number that another gateway had registered under then. */
  #newestGateway = 0;
  /** Whether other gateways were registered then. */
  #hasOthers = true;
  /** When this gateway was last recorded as being there; null before it is registered. */
  #seenAt: number | null = null;
  /** When every other gateway knows that this one is there. */
  #servesFrom = Infinity;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** This gateway was registered by a statement sent at `sentAtMs`, beside so many others. */
  registered(sentAtMs: number, others: number): void {
    this.#seenAt = sentAtMs;
    const now = this.#clock.monotonic();
    // Until then another gateway may serve as if it was the only one.
    this.#servesFrom = others === 0 ? Math.min(this.#servesFrom, now) : now + GRACE_LEASES * this.#leaseMs;
  }

  /** Every other gateway that counts has recorded that it takes this one into account. */
  knownToOthers(): void {
    this.#servesFrom = Math.min(this.#servesFrom, this.#clock.monotonic());
  }

  /** Whether other gateways must learn of this one before it serves. */
  get isAwaitingOthers(): boolean {
    return this.#seenAt !== null && this.#clock.monotonic() < this.#servesFrom;
  }

  /** A statement sent at `sentAtMs` recorded that this gateway is there. */
  seen(sentAtMs: number): void {
    this.#seenAt = sentAtMs;
  }

  /** The state that a statement sent at `sentAtMs` read is loaded, with the other gateways that were registered then. */
  loaded(sentAtMs: number, others: OtherGateways): void {
    this.#knownAt = sentAtMs;
    this.#hasOthers = others.otherGateways > 0;
    if (others.newestGateway > this.#newestGateway) {
      this.#newestGateway = others.newestGateway;
      this.learnt.notify();
    }
    this.#hasServed ||= this.isCurrent;
    // Until others reckon with this gateway again, it is as before.
    if (this.#isSeen) this.#isUnreachable = false;
  }

  /** PostgreSQL could not be asked. */
  failed(): void {
    this.#isUnreachable = true;
  }

  /** A node names the term of another gateway: this one is not the only gateway any more. */
  superseded(): void {
    this.#hasOthers = true;
  }

  /** Others that registered up to this number are taken into account. */
  get newestGateway(): number {
    return this.#newestGateway;
  }

  /** Whether other gateways are registered: what they acknowledge must be asked for. */
  get hasOthers(): boolean {
    return this.#hasOthers;
  }

  /** Whether the state is that of a moment ago, and every other gateway reckons with this one. */
  get isCurrent(): boolean {
    return this.#isKnown && this.#isSeen && this.#clock.monotonic() >= this.#servesFrom;
  }

  /** ms until the state that was read last counts for nothing; Infinity before the first. */
  get msUntilTooOld(): number {
    return this.#knownAt === null ? Infinity : this.#knownAt + this.#leaseMs - this.#clock.monotonic();
  }

  get #isKnown(): boolean {
    return this.#knownAt !== null && this.msUntilTooOld >= 0;
  }

  get #isSeen(): boolean {
    const msAgo = this.#seenAt === null ? Infinity : this.#clock.monotonic() - this.#seenAt;
    return msAgo <= SEEN_LEASES * this.#leaseMs;
  }

  /**
   * Why this gateway cannot serve a request; null when it can. Without PostgreSQL the only gateway goes on with reads, and
   * one of several with reads that may see any state (I10).
   */
  refusal({ seesAnyState = false }: { readonly seesAnyState?: boolean } = {}): PolychromeError | null {
    if (this.isCurrent) return null;
    const wasReady = this.#knownAt !== null && this.#knownAt >= this.#servesFrom;
    // A gateway that was frozen has neither failed to ask nor asked.
    const hasAsked = this.#isUnreachable || this.#isKnown;
    const isServed = seesAnyState ? this.#hasServed : wasReady && !this.#hasOthers;
    if (isServed && hasAsked) return null;
    return new PolychromeError(
      'not_leader',
      'This gateway does not know the present state of the cluster: it has just started, or PostgreSQL does not respond to it. Nothing was changed. Try again, or use another gateway.',
    );
  }

  /** Whether something that this gateway does not know may exist all the same. */
  get isOutdated(): boolean {
    return !this.isCurrent;
  }
}
