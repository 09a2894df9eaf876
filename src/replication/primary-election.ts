// Elects the primary: keeps the present one while it works and can decide, and otherwise records another.

import type { Term } from '../coordination/term.ts';
import type { Head } from '../log/postgres-log.ts';
import { canServe, choosePrimary, follows, type PrimaryCandidate } from '../nodes/node-state.ts';
import type { NodeStore } from '../nodes/node-store.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { Notifier, waitForAny } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import type { Primary } from './decision-wait.ts';
import type { Follower, Followers } from './follower.ts';
import type { Positions } from './positions.ts';
import type { Stagger } from './stagger.ts';

export interface PrimaryElectionOptions {
  readonly followers: Followers;
  readonly positions: Pick<Positions, 'applied' | 'setCluster'>;
  readonly nodeStore: Pick<NodeStore, 'setPrimary'>;
  readonly stagger: Pick<Stagger, 'reconsider'>;
  /** Notified when another node decides. */
  readonly primaryChanged: Notifier;
  /** How much operators prefer a node as primary; absent: all alike. */
  readonly priorityOf?: (node: string) => number;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY_MS = 200;
// At the very first start the preferred primary gets this long to appear before another is elected.
const PREFERRED_MS = 5_000;
const PREFERRED_POLL_MS = 100;

export class PrimaryElection {
  readonly #options: PrimaryElectionOptions;
  #primary: Primary = { node: null, generation: 0 };
  /** By node: the entry it could not decide in this term. Once past it, the node is a candidate like any other. */
  readonly #undecidable = new Map<string, number>();
  /** The node that an operator wants as primary; null once it is, or never was asked for. */
  #wanted: string | null = null;
  /** PostgreSQL does not have the present primary: it was promoted without the statement that recorded it. */
  #isUnrecorded = false;
  /** Notified when the choice may be another although no node changed its state. */
  readonly #reconsidered = new Notifier();

  constructor(options: PrimaryElectionOptions) {
    this.#options = options;
  }

  /** The node that decides; kept after the term as the last known. */
  get primary(): Primary {
    return this.#primary;
  }

  /** Takes over what PostgreSQL says at the beginning of a term. */
  begin({ primary, primaryGeneration }: Pick<Head, 'primary' | 'primaryGeneration'>): void {
    this.#undecidable.clear();
    this.#wanted = null;
    this.#become({ node: primary, generation: primaryGeneration });
  }

  /** Takes over what another gateway that leads has recorded. */
  follow(primary: Primary): void {
    const { node, generation } = this.#primary;
    if (node !== primary.node || generation !== primary.generation) this.#become(primary);
  }

  /** Keeps a working primary elected until the term is over. */
  async run(term: Term): Promise<void> {
    const { followers } = this.#options;
    if (this.#primary.node === null) await this.#awaitPreferred(term);
    while (!term.signal.aborted) {
      const { controller, unlink } = linkedAbort(term.signal);
      const notifiers = followers.all().map(({ member }) => member.changed);
      // Watched before the states are looked at, so that no change in between is missed.
      const changed = waitForAny([...notifiers, followers.changed, this.#reconsidered], controller.signal);
      if (await this.#elect(term)) await changed;
      controller.abort();
      unlink();
    }
  }

  /** Called when a node cannot decide the entry at `lsn`. Whether another node takes its place, as matters stand. */
  stepDown(node: string, lsn: number): boolean {
    const others = this.#options.followers.all().filter(({ member }) => member.id !== node);
    if (!others.some((follower) => this.#canDecide(follower))) return false;
    if (this.#undecidable.get(node) !== lsn) {
      this.#undecidable.set(node, lsn);
      this.#reconsidered.notify();
    }
    return true;
  }

  /** Called when PostgreSQL refused a decision of this primary: it is recorded anew, under the next generation. */
  refused({ node, generation }: Primary): void {
    if (node !== this.#primary.node || generation !== this.#primary.generation) return;
    this.#isUnrecorded = true;
    this.#reconsidered.notify();
  }

  /** Called when nodes came or went, or count from now on. */
  membersChanged(): void {
    const { followers, positions } = this.#options;
    positions.setCluster(followers.counted(), this.#primary.node);
  }

  /** Makes a node primary as soon as it serves and can decide; null takes that back. It does not outlive the term. */
  promote(node: string | null): void {
    this.#wanted = node === this.#primary.node ? null : node;
    this.#reconsidered.notify();
  }

  /** False when the choice could not be recorded. */
  async #elect(term: Term): Promise<boolean> {
    const { nodeStore, primaryChanged, stagger, events, clock, logger } = this.#options;
    const before = this.#primary.node;
    const chosen = this.#choose(before);
    if (chosen === null || (chosen === before && !this.#isUnrecorded)) return true;
    try {
      const generation = await nodeStore.setPrimary(term.epoch, chosen);
      logger.warn({ primary: chosen, before, generation }, 'primary changed');
      events.record('primary_changed', { node: chosen, before, generation });
      this.#become({ node: chosen, generation });
      primaryChanged.notify();
      stagger.reconsider();
      return true;
    } catch (error) {
      logger.error({ error: String(error) }, 'primary not recorded');
      // PostgreSQL may have recorded the choice although the response was lost.
      this.#isUnrecorded = true;
      await sleep(clock, RETRY_MS, term.signal);
      return false;
    }
  }

  #choose(before: string | null): string | null {
    const wanted = this.#options.followers.all().find(({ member }) => member.id === this.#wanted);
    if (wanted !== undefined && canServe(wanted.member.state) && this.#canDecide(wanted)) return this.#wanted;
    return choosePrimary(this.#candidates(), before);
  }

  #candidates(): PrimaryCandidate[] {
    const { followers, positions, priorityOf } = this.#options;
    const all = followers.all();
    const able = all.filter((follower) => this.#canDecide(follower));
    // When none is able, a primary that refuses what it cannot decide is better than none.
    return (able.length > 0 ? able : all).map(({ member: { id, state } }) => ({
      id,
      state,
      checkpoint: positions.applied(id),
      priority: priorityOf?.(id) ?? 0,
    }));
  }

  #become(primary: Primary): void {
    this.#primary = primary;
    this.#isUnrecorded = false;
    if (primary.node === this.#wanted) this.#wanted = null;
    this.membersChanged();
  }

  /** The first node of the configuration becomes the first primary, unless it does not appear in time. */
  async #awaitPreferred(term: Term): Promise<void> {
    const { followers, clock } = this.#options;
    const until = clock.monotonic() + PREFERRED_MS;
    const isAwaited = (): boolean => followers.all()[0]?.member.state === 'joining';
    while (isAwaited() && clock.monotonic() < until && !term.signal.aborted)
      await sleep(clock, PREFERRED_POLL_MS, term.signal);
  }

  /** Whether a node works, and does not stand before an entry that it could not decide. */
  #canDecide({ member, applier }: Follower): boolean {
    return follows(member.state) && applier.checkpoint >= (this.#undecidable.get(member.id) ?? 0);
  }
}
