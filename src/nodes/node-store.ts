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
}

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
      `select id, url, incarnation, checkpoint, marker_lsn as "markerLSN", busy_lsn as "busyLSN",
              greatest(0, coalesce(extract(epoch from busy_until - clock_timestamp()) * 1000, 0))::float8 as "busyMs"
       from ${this.#database.schema}.node where not removed and incarnation is not null order by id`,
    )) as unknown as NodeRow[];
    for (const { id, checkpoint } of rows) this.#lastCheckpoints.set(id, checkpoint);
    return rows;
  }

  /**
   * Gives a node of the list its incarnation, before anything is written to its server. Throws when the lease has moved
   * on, or the node has an incarnation already.
   */
  async add(epoch: number, node: { id: string; url: string; incarnation: string }): Promise<void> {
    const s = this.#database.schema;
    await this.#leading(
      epoch,
      `insert into ${s}.node (id, url, incarnation, state, epoch, view)
       select $2, $3, $4, 'joining', $1, ${s}.next_view() from ${s}.lease where epoch = $1 for share
       on conflict (id) do update set incarnation = excluded.incarnation, view = excluded.view
         where node.incarnation is null and not node.removed and node.epoch = $1
       returning id`,
      [node.id, node.url, node.incarnation],
    );
  }

  /** Records the state for operators and other gateways. Throws when the lease has moved on. */
  async update(epoch: number, id: string, state: NodeState, reason: string | null): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node set state = $3, reason = $4
       where id = $2 and epoch = $1 and not removed returning id`,
      [id, state, reason],
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

  /** Records that the node's marker holds this checkpoint. Throws when the lease has moved on. */
  async marked(epoch: number, id: string, lsn: number): Promise<void> {
    await this.#leading(
      epoch,
      `update ${this.#database.schema}.node set marker_lsn = greatest(marker_lsn, $3)
       where id = $2 and epoch = $1 returning id`,
      [id, lsn],
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
      throw new Error('The lease has moved on: another gateway leads.');
    }
    return rows;
  }
}
