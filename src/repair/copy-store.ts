// The copies of shards beside those in use, in PostgreSQL: which are being built, which wait to be dropped. Every change
// is conditional on the epoch in the same statement (I7).

import type { ShardLocation } from '../chroma/protocol/node-requests.ts';
import type { Database } from '../postgres/database.ts';

/** A copy that is not in use. */
export interface AsideCopy extends ShardLocation {
  readonly node: string;
  readonly shard: string;
  /** The name by which the node knows it. */
  readonly name: string;
  readonly state: 'building' | 'retired';
  /** LSN after which its content may be older than the log; 0 while it is not created. */
  readonly fromLSN: number;
  /** Its number among the copies of the node. */
  readonly copy: number;
  /** Why it cannot be completed; null when it can. */
  readonly abandoned: string | null;
  /** How long it has been in this state, ms. */
  readonly ageMs: number;
}

/** A body that creates or modifies a collection, as a client sent it. */
export interface CollectionBody {
  readonly kind: 'create_collection' | 'modify_collection';
  readonly body: Buffer;
}

/** A name that no other collection has, since a node holds one of each name in a database: `id` is drawn at random. */
export function copyName(id: string): string {
  return `copy-${id}`;
}

const LEASE_LOST = 'the lease has moved on, or the copy is no longer wanted';

export class CopyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Copies that are not in use, the oldest first; null: of every node. */
  async aside(node: string | null = null): Promise<AsideCopy[]> {
    const s = this.#database.schema;
    return (await this.#database.query(
      `select n.node, n.shard, n.physical, n.name, n.state, n.from_lsn as "fromLSN", n.copy, c.tenant, c.database,
              case when n.state = 'building' then n.suspect end as abandoned,
              (extract(epoch from clock_timestamp() - n.since) * 1000)::float8 as "ageMs"
       from ${s}.node_shard n join ${s}.shard x on x.id = n.shard join ${s}.collection c on c.id = x.collection
       where n.state <> 'current' and ($1::text is null or n.node = $1) order by n.since`,
      [node],
    )) as unknown as AsideCopy[];
  }

  /** Whether the collection with this id on the node is a copy that is not in use. */
  async isAside(node: string, physical: string): Promise<boolean> {
    return (await this.aside(node)).some((copy) => copy.physical === physical);
  }

  /**
   * Records a copy before it is created on the node, under an id that stands for it until then. Returns its number.
   * Throws when the lease has moved on.
   */
  async begin(epoch: number, copy: Pick<AsideCopy, 'node' | 'shard' | 'physical' | 'name'>): Promise<number> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ copy: number }>(
      `with numbered as (
         update ${s}.node set copies = copies + 1 where id = $2 and epoch = $1 returning copies)
       insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view, state, copy)
       select $2, $3, $4, $5, 0, 0, 'building', copies from numbered returning copy`,
      [epoch, copy.node, copy.shard, copy.physical, copy.name],
    );
    if (row === undefined) throw new Error(LEASE_LOST);
    return row.copy;
  }

  /** Records the id that the node gave the copy, and from which LSN on it must be brought up to date. */
  async created(
    epoch: number,
    { node, name }: Pick<AsideCopy, 'node' | 'name'>,
    { physical, fromLSN }: Pick<AsideCopy, 'physical' | 'fromLSN'>,
  ): Promise<void> {
    await this.#change(
      `update ${this.#database.schema}.node_shard set physical = $4, from_lsn = $5
       where node = $2 and name = $3 and state = 'building'`,
      [epoch, node, name, physical, fromLSN],
    );
  }

  /** Records that a copy in the making cannot be completed: it is dropped. Throws when the lease has moved on. */
  async abandon(epoch: number, copy: Pick<AsideCopy, 'node' | 'physical'>, reason: string): Promise<void> {
    await this.#change(
      `update ${this.#database.schema}.node_shard set suspect = $4
       where node = $2 and physical = $3 and state = 'building'`,
      [epoch, copy.node, copy.physical, reason],
    );
  }

  /** Records the name that a copy is about to get. Throws when the lease has moved on. */
  async rename(epoch: number, copy: Pick<AsideCopy, 'node' | 'physical'>, name: string): Promise<void> {
    await this.#change(
      `update ${this.#database.schema}.node_shard set name = $4
       where node = $2 and physical = $3 and state <> 'current'`,
      [epoch, copy.node, copy.physical, name],
    );
  }

  /** Forgets a copy that was dropped. */
  async dropped(epoch: number, copy: Pick<AsideCopy, 'node' | 'physical'>): Promise<void> {
    await this.#change(
      `delete from ${this.#database.schema}.node_shard where node = $2 and physical = $3 and state <> 'current'`,
      [epoch, copy.node, copy.physical],
    );
  }

  /** Records that the node's marker holds the number of this copy: its content is complete and durable there. */
  async marked(epoch: number, node: string, copy: number): Promise<void> {
    await this.#change(
      `update ${this.#database.schema}.node set marker_copy = greatest(marker_copy, $3) where id = $2`,
      [epoch, node, copy],
    );
  }

  /** Puts a copy into use from an LSN on, and retires the one it replaces. False when it is no longer wanted. */
  async swap(
    epoch: number,
    { node, shard, physical }: Pick<AsideCopy, 'node' | 'shard' | 'physical'>,
    fromLSN: number,
  ): Promise<boolean> {
    const [row] = await this.#database.query<{ swapped: boolean }>(
      `select ${this.#database.schema}.swap_copy($1, $2, $3, $4, $5) as swapped`,
      [epoch, node, shard, physical, fromLSN],
    );
    return row?.swapped === true;
  }

  /** The bodies from which the collection is created anew, in order; empty when they are not known. */
  async bodies(collection: string): Promise<CollectionBody[]> {
    return (await this.#database.query(
      `select kind, body from ${this.#database.schema}.collection_body where collection = $1 order by lsn`,
      [collection],
    )) as unknown as CollectionBody[];
  }

  /** Keeps the body of a create that the log does not hold any more. */
  async keepBody(collection: string, lsn: number, body: Buffer): Promise<void> {
    await this.#database.query(
      `insert into ${this.#database.schema}.collection_body values ($1, $2, 'create_collection', $3, false)
       on conflict do nothing`,
      [collection, lsn, body],
    );
  }

  async #change(text: string, [epoch, node, ...rest]: readonly unknown[]): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `${text} and exists (select from ${s}.node where id = $2 and epoch = $1) returning 1`,
      [epoch, node, ...rest],
    );
    if (rows.length === 0) throw new Error(LEASE_LOST);
  }
}
