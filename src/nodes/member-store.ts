// The list of nodes in PostgreSQL: who belongs to the cluster, and where. Every change gets the next view number.

import type { Database } from '../postgres/database.ts';

export interface NodeLocation {
  readonly id: string;
  readonly url: string;
}

/** A node of the list, or one that was removed from it. */
export interface MemberRow extends NodeLocation {
  /** Null until a server was admitted. */
  readonly incarnation: string | null;
  /** An operator has taken it out of service. */
  readonly drained: boolean;
  /** It counts for the levels quorum and all. */
  readonly counts: boolean;
  readonly removed: boolean;
  /** How often it began again without content. */
  readonly resets: number;
  /** Its marker does not name its incarnation yet; another one may be chosen. */
  readonly filling: boolean;
}

/** The list has not changed while both are the same. */
export interface MemberVersion {
  /** The view number of the cluster. */
  readonly view: number;
  /** Of the PostgreSQL server: one that was promoted may give a view number to other changes. */
  readonly timeline: number;
}

export interface MemberList extends MemberVersion {
  /** In the order in which they were added. */
  readonly members: readonly MemberRow[];
}

export class MemberStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The list and its version, read in one snapshot. */
  async list(): Promise<MemberList> {
    const s = this.#database.schema;
    const rows = (await this.#database.query(
      `select h.view, ${s}.timeline() as timeline, n.id, n.url, n.incarnation, n.drained, n.counts, n.removed, n.resets,
              n.filling
       from ${s}.head h left join ${s}.node n on true order by n.position`,
    )) as unknown as (MemberVersion & { id: string | null } & Omit<MemberRow, 'id'>)[];
    const members = rows.flatMap(({ view: _view, timeline: _timeline, id, ...row }) =>
      id === null ? [] : [{ id, ...row }],
    );
    const { view = 0, timeline = 0 } = rows[0] ?? {};
    return { view, timeline, members };
  }

  /** The version of the list; cheaper than the list. */
  async version(): Promise<MemberVersion> {
    const s = this.#database.schema;
    const rows = await this.#database.query<{ view: number; timeline: number }>(
      `select view, ${s}.timeline() as timeline from ${s}.head`,
    );
    return rows[0] ?? { view: 0, timeline: 0 };
  }

  /** Adds nodes that the list has never had. May be called by several gateways at once. */
  async seed(nodes: readonly NodeLocation[]): Promise<void> {
    await this.#database.query(`select ${this.#database.schema}.seed_nodes($1, $2)`, [
      nodes.map(({ id }) => id),
      nodes.map(({ url }) => url),
    ]);
  }

  /** Adds a node, also one that was removed. False when the list has it already. */
  add({ id, url }: NodeLocation): Promise<boolean> {
    return this.#succeeds('add_node($1, $2)', [id, url]);
  }

  /** Records that the node is now at another address. False when it has moved, or was removed, meanwhile. */
  async move({ id, url }: NodeLocation, from: string): Promise<boolean> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.node set url = $2, view = ${s}.next_view() where id = $1 and url = $3 and not removed returning id`,
      [id, url, from],
    );
    return rows.length > 0;
  }

  /** Records that these nodes are at each other's addresses; all of them or none. False when one has moved meanwhile. */
  async exchange(nodes: readonly (NodeLocation & { readonly from: string })[]): Promise<boolean> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `with x as (select * from unnest($1::text[], $2::text[], $3::text[]) as x(id, url, was)),
         found as (select n.id from ${s}.node n join x on n.id = x.id and n.url = x.was where not n.removed for update)
       update ${s}.node n set url = x.url, view = ${s}.next_view() from x
       where n.id = x.id and (select count(*) from found) = cardinality($1::text[]) returning n.id`,
      [nodes.map(({ id }) => id), nodes.map(({ url }) => url), nodes.map(({ from }) => from)],
    );
    return rows.length > 0;
  }

  /** Takes the node out of service, or back. False when there is no such node. */
  async drain(id: string, drained: boolean): Promise<boolean> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.node set drained = $2, view = ${s}.next_view() where id = $1 and not removed returning id`,
      [id, drained],
    );
    return rows.length > 0;
  }

  /** Records that the node counts for quorum and all from now on. */
  async count(id: string): Promise<void> {
    const s = this.#database.schema;
    await this.#database.query(
      `update ${s}.node set counts = true, view = ${s}.next_view() where id = $1 and not counts`,
      [id],
    );
  }

  /** Removes a node. False when it is the primary or the lease has moved on. */
  remove(epoch: number, id: string): Promise<boolean> {
    return this.#succeeds('remove_node($1, $2)', [epoch, id]);
  }

  /** Has the node begin again without content. False when the lease has moved on, or there is no such node. */
  reset(epoch: number, id: string): Promise<boolean> {
    return this.#succeeds('reset_node($1, $2)', [epoch, id]);
  }

  async #succeeds(call: string, values: readonly unknown[]): Promise<boolean> {
    const [row] = await this.#database.query<{ done: boolean }>(
      `select ${this.#database.schema}.${call} as done`,
      values,
    );
    return row?.done === true;
  }
}
