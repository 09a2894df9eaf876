// The nodes in PostgreSQL: identity, progress, state, and which one is primary.

import type { Database } from '../postgres/database.ts';
import type { NodeState } from './node-state.ts';

export interface NodeRow {
  readonly id: string;
  readonly url: string;
  readonly incarnation: string;
  readonly checkpoint: number;
  readonly markerLSN: number;
  /** The last entry of the long call announced for the node; null when there never was one. */
  readonly busyLSN: number | null;
  /** How long that call may still be running, ms. */
  readonly busyMs: number;
  /** Its marker does not name its incarnation yet. */
  readonly filling: boolean;
}

/** A node and how often it has begun again without content: what was true before a beginning is recorded no more. */
export interface NodeBeginning {
  readonly id: string;
  readonly resets: number;
}

/** A node as it begins: from the first entry of the log, or with copies of what was there at a later LSN. */
export interface NewIncarnation {
  readonly id: string;
  readonly url: string;
  readonly incarnation: string;
  readonly checkpoint: number;
}

const LEASE_LOST = 'The lease has moved on: another gateway leads.';

export class NodeStore {
  readonly #database: Database;
  readonly #lastCheckpoints = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** The node's checkpoint when it was last read; 0 when it is not known. */
  lastCheckpoint(id: string): number {
    return this.#lastCheckpoints.get(id) ?? 0;
  }

  /** The nodes that have been admitted. */
  async all(): Promise<NodeRow[]> {
    const rows = (await this.#database.query(
      `select id, url, incarnation, checkpoint, marker_lsn as "markerLSN", busy_lsn as "busyLSN", filling,
              greatest(0, coalesce(extract(epoch from busy_until - clock_timestamp()) * 1000, 0))::float8 as "busyMs"
       from ${this.#database.schema}.node where not removed and incarnation is not null order by id`,
    )) as unknown as NodeRow[];
    for (const { id, checkpoint } of rows) this.#lastCheckpoints.set(id, checkpoint);
    return rows;
  }

  /**
   * Gives a node its incarnation, before anything is written to its server. Its checkpoint is that of a healthy node, or 0;
   * every shard that exists there is suspect on it. Throws when the lease has moved on, or the node has an incarnation.
   */
  async add(epoch: number, { id, url, incarnation, checkpoint }: NewIncarnation): Promise<void> {
    const [row] = await this.#database.query<{ done: boolean }>(
      `select ${this.#database.schema}.introduce_node($1, $2, $3, $4, $5) as done`,
      [epoch, id, url, incarnation, checkpoint],
    );
    if (row?.done !== true) throw new Error(LEASE_LOST);
  }

  /**
   * What may be removed from the node's server: with `filling`, what it holds of an earlier incarnation; with `discard`,
   * whatever it holds.
   */
  async removable(id: string): Promise<{ readonly filling: boolean; readonly discard: boolean }> {
    const text = `select filling, discard from ${this.#database.schema}.node where id = $1`;
    const [row] = await this.#database.query<{ filling: boolean; discard: boolean }>(text, [id]);
    return row ?? { filling: false, discard: false };
  }

  /** Records that the node's marker names its incarnation and checkpoint. Throws when the lease has moved on. */
  async filled(epoch: number, id: string, lsn: number): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node set filling = false, discard = false, marker_lsn = $3,
              view = ${this.#database.schema}.next_view()
       where id = $2 and epoch = $1 returning id`,
      [id, lsn],
    );
  }

  /**
   * Records the state for operators and other gateways. Throws when the lease has moved on, or the node has left or begun
   * again.
   */
  async update(
    epoch: number,
    { id, resets }: NodeBeginning,
    state: NodeState,
    reason: string | null,
  ): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node set state = $3, reason = $4, state_epoch = $1
       where id = $2 and epoch = $1 and resets = $5 and not removed returning id`,
      [id, state, reason, resets],
    );
  }

  /** Announces a call with entries up to `lsn` that takes about `forMs`. Throws when the lease has moved on. */
  async announce(epoch: number, id: string, lsn: number, forMs: number): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node
       set busy_lsn = $3, busy_until = clock_timestamp() + $4::float8 * interval '1 ms'
       where id = $2 and epoch = $1 returning id`,
      [id, lsn, forMs],
    );
  }

  /** Records that the node's marker holds this checkpoint. Throws when the lease has moved on, or the node has begun again. */
  async marked(epoch: number, { id, resets }: NodeBeginning, lsn: number): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node set marker_lsn = greatest(marker_lsn, $3)
       where id = $2 and epoch = $1 and resets = $4 returning id`,
      [id, lsn, resets],
    );
  }

  /** The generation under which the node is now primary. Throws when the lease has moved on. */
  async setPrimary(epoch: number, id: string): Promise<number> {
    const rows = await this.#leading(
      epoch,
      `select ${this.#database.schema}.set_primary($1, $2) as generation`,
      [id],
    );
    return rows[0]?.['generation'] as number;
  }

  async #leading(
    epoch: number,
    text: string,
    values: readonly unknown[],
  ): Promise<Record<string, unknown>[]> {
    const rows = await this.#database.query(text, [epoch, ...values]);
    if (rows.length === 0 || Object.values(rows[0] as object)[0] === null) {
      throw new Error(LEASE_LOST);
    }
    return rows;
  }
}
