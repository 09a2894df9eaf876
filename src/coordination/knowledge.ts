// Whether this gateway knows the present state of the cluster. Only the gateway that leads learns of every change; what
// another one says would be outdated, in particular that something does not exist.

import { PolychromeError } from '../errors.ts';
import type { Clock } from '../util/clock.ts';
import { generationOf, type Term } from './term.ts';

/** What the lease in PostgreSQL showed since it was last held or confirmed. */
type Seen =
  | 'nothing' // it was not read
  | 'unreachable' // PostgreSQL did not respond
  | 'unchanged' // no other gateway has held it since
  | 'other'; // another gateway has held it

export class Knowledge {
  #term: Term | null = null;
  /** A term that follows the last one without another between, and has not begun yet. */
  #next: Term | null = null;
  /** Of the last term this gateway knew everything in; 0: none since its start. */
  #epoch = 0;
  #seen: Seen = 'nothing';
  /** When that was asked; clock.monotonic() ms. */
  #seenAt = 0;
  /** For how long that is so, ms. */
  #validMs = 0;
  readonly #clock: Clock;
  readonly #leaseMs: number;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** This gateway leads, and has loaded what earlier leaders left. */
  begin(term: Term): void {
    this.#term = term;
    this.#next = null;
    this.#epoch = term.epoch;
    this.#seen = 'unchanged';
  }

  /** The lease was acquired: what this gateway knows is complete if no other has held it since. */
  acquired(term: Term, sentAtMs: number): void {
    this.#confirm(sentAtMs);
    if (!this.#isOwnNext(term.epoch)) {
      this.#seen = 'other';
      return;
    }
    this.#next = term;
    this.#epoch = term.epoch;
  }

  /** The lease of the epoch was renewed by a statement sent at `sentAtMs`. */
  confirmed(epoch: number, sentAtMs: number): void {
    // What leaders before this term left is not known before it has begun.
    if (epoch !== this.#epoch || this.#isLate(sentAtMs, this.#leaseMs)) return;
    this.#seen = 'unchanged';
    this.#confirm(sentAtMs);
  }

  /** No other gateway holds the lease for a whole lease from then on. */
  #confirm(sentAtMs: number): void {
    this.#seenAt = sentAtMs;
    this.#validMs = this.#leaseMs;
  }

  /** The lease was asked for at `atMs`, and another epoch than its own is another gateway's. */
  saw({ epoch, isOwn }: { epoch: number; isOwn: boolean }, atMs: number): void {
    // Acquired by this gateway, which did not learn of it.
    if (isOwn && this.#isOwnNext(epoch)) this.#epoch = epoch;
    // A lease that was released can be acquired at once.
    const validMs = this.#leaseMs / 2;
    if (epoch !== this.#epoch) this.#seen = 'other';
    else if (!this.#isLate(atMs, validMs)) {
      this.#seen = 'unchanged';
      this.#seenAt = atMs;
      this.#validMs = validMs;
    }
  }

  /** PostgreSQL could not be asked for the lease. */
  failed(): void {
    // What another gateway has changed stays unknown, whether PostgreSQL responds or not.
    if (this.#seen !== 'other') this.#seen = 'unreachable';
  }

  /**
   * Why this gateway cannot serve any request; null when it can. Without PostgreSQL the gateway that led last continues
   * with reads (I10).
   */
  refusal(): PolychromeError | null {
    if (this.#isLeading) return null;
    if (this.#epoch > 0 && (this.#seen === 'unreachable' || this.#isUnchanged)) return null;
    return new PolychromeError(
      'not_leader',
      'This gateway stands by: another one leads, or none does yet. Nothing was changed. Send requests to the gateway that leads, or try again.',
    );
  }

  /**
   * Whether something that this gateway does not know may exist all the same: it led last, and cannot ask PostgreSQL
   * whether another gateway leads now.
   */
  get isOutdated(): boolean {
    return !this.#isLeading && !this.#isUnchanged;
  }

  /** A response that took so long says nothing about now. */
  #isLate(askedAtMs: number, validMs: number): boolean {
    return this.#clock.monotonic() - askedAtMs > validMs;
  }

  /** Whether the epoch is that of the term after the last one: no other gateway has led between. */
  #isOwnNext(epoch: number): boolean {
    return this.#epoch > 0 && generationOf(epoch) === generationOf(this.#epoch) + 1;
  }

  get #isLeading(): boolean {
    return this.#term?.held() === true || this.#next?.held() === true;
  }

  get #isUnchanged(): boolean {
    return this.#seen === 'unchanged' && !this.#isLate(this.#seenAt, this.#validMs);
  }
}
