// The scrub's row of PostgreSQL, in memory: the same promises, conditional on the same epoch.

import type { ScrubCounts, ScrubState } from '../../src/repair/scrub-store.ts';

const NOTHING: ScrubCounts = { shards: 0, records: 0, uncompared: 0, suspects: 0, skipped: 0 };
const AT = new Date(0);

export class MemoryScrub {
  readonly #requireLease: (epoch: number) => void;
  state: ScrubState = {
    startedAt: AT,
    finishedAt: AT,
    cursor: null,
    isPaused: false,
    isRequested: false,
    idleMs: 0,
    counts: NOTHING,
  };
  /** Shards in the order in which they were verified. */
  readonly verified: string[] = [];

  constructor(requireLease: (epoch: number) => void = () => undefined) {
    this.#requireLease = requireLease;
  }

  async load(): Promise<ScrubState> {
    await Promise.resolve();
    return this.state;
  }

  async begin(epoch: number): Promise<void> {
    this.#requireLease(epoch);
    const startedAt = new Date(this.state.startedAt.getTime() + 1);
    const begun = {
      startedAt,
      finishedAt: null,
      cursor: null,
      isRequested: false,
      idleMs: null,
      counts: NOTHING,
    };
    this.state = { ...this.state, ...begun };
  }

  async advance(epoch: number, cursor: string, added: Omit<ScrubCounts, 'shards'>): Promise<void> {
    this.#requireLease(epoch);
    const { counts } = this.state;
    this.verified.push(cursor);
    this.state = {
      ...this.state,
      cursor,
      counts: {
        shards: counts.shards + 1,
        records: counts.records + added.records,
        uncompared: counts.uncompared + added.uncompared,
        suspects: counts.suspects + added.suspects,
        skipped: counts.skipped + added.skipped,
      },
    };
  }

  async finish(epoch: number): Promise<void> {
    this.#requireLease(epoch);
    this.state = { ...this.state, finishedAt: AT, idleMs: 0 };
  }

  async setPaused(isPaused: boolean): Promise<void> {
    this.state = { ...this.state, isPaused };
  }

  async request(): Promise<void> {
    this.state = { ...this.state, isRequested: true };
  }
}
