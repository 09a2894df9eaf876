// The scrub in PostgreSQL: its schedule, how far it has come, and whether an operator has paused it.

import type { Database } from '../postgres/database.ts';

/** The state of the scrub, as every gateway sees it. */
export interface ScrubState {
  /** When the last or current pass began. */
  readonly startedAt: Date;
  /** When it ended; null while it is in progress. */
  readonly finishedAt: Date | null;
  /** The last shard that was verified; null at the beginning of a pass. */
  readonly cursor: string | null;
  readonly isPaused: boolean;
  /** An operator has asked for a pass that has not begun. */
  readonly isRequested: boolean;
  /** Since the last pass ended, ms; null while one is in progress. */
  readonly idleMs: number | null;
  readonly counts: ScrubCounts;
}

/** What the current or last pass has verified and found. */
export interface ScrubCounts {
  readonly shards: number;
  readonly records: number;
  /** Records that could not be compared, because entries kept changing them. */
  readonly uncompared: number;
  /** Copies that became suspect. */
  readonly suspects: number;
  /** Shards that were left out because their nodes did not respond. */
  readonly skipped: number;
}

interface ScrubRow extends Omit<ScrubState, 'counts'>, ScrubCounts, Record<string, unknown> {}

export class ScrubStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async load(): Promise<ScrubState> {
    const [row] = await this.#database.query<ScrubRow>(
      `select started_at as "startedAt", finished_at as "finishedAt", cursor, paused as "isPaused",
              coalesce(requested_at > started_at, false) as "isRequested",
              (extract(epoch from clock_timestamp() - finished_at) * 1000)::float8 as "idleMs",
              shards, records, uncompared, suspects, skipped
       from ${this.#database.schema}.scrub`,
    );
    if (row === undefined) throw new Error('the scrub has no row in PostgreSQL');
    const { shards, records, uncompared, suspects, skipped, ...state } = row;
    return { ...state, counts: { shards, records, uncompared, suspects, skipped } };
  }

  /** Begins a pass. Throws when the lease has moved on. */
  begin(epoch: number): Promise<void> {
    return this.#leading(
      epoch,
      `started_at = clock_timestamp(), finished_at = null, cursor = null,
       shards = 0, records = 0, uncompared = 0, suspects = 0, skipped = 0`,
      [],
    );
  }

  /** Records that a shard was verified, with what is added to the counts. Throws when the lease has moved on. */
  advance(epoch: number, cursor: string, added: Omit<ScrubCounts, 'shards'>): Promise<void> {
    const { records, uncompared, suspects, skipped } = added;
    return this.#leading(
      epoch,
      `cursor = $2, shards = shards + 1, records = records + $3, uncompared = uncompared + $4, suspects = suspects + $5,
       skipped = skipped + $6`,
      [cursor, records, uncompared, suspects, skipped],
    );
  }

  /** Ends the pass. Throws when the lease has moved on. */
  finish(epoch: number): Promise<void> {
    return this.#leading(epoch, 'finished_at = clock_timestamp()', []);
  }

  /** Pauses or resumes the scrub; the leader learns of it within seconds. */
  async setPaused(isPaused: boolean): Promise<void> {
    await this.#database.query(`update ${this.#database.schema}.scrub set paused = $1`, [isPaused]);
  }

  /** Asks for a pass; one in progress goes on and is followed by another. */
  async request(): Promise<void> {
    await this.#database.query(`update ${this.#database.schema}.scrub set requested_at = clock_timestamp()`);
  }

  async #leading(epoch: number, assignments: string, values: readonly unknown[]): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.scrub set ${assignments}
       where exists (select from ${s}.lease where epoch = $1 for share) returning started_at`,
      [epoch, ...values],
    );
    if (rows.length === 0) throw new Error('the scrub was not recorded: another gateway holds the lease');
  }
}
