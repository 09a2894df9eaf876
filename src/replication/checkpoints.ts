// Durable checkpoints: each written in one statement that is conditional on the epoch (I4, I7).

import type { NodeBeginning } from '../nodes/node-store.ts';
import type { Database } from '../postgres/database.ts';

/** One node's copy of a shard: its collection id on that node, and the database the collection belongs to. */
export interface AssignedShard {
  readonly physical: string;
  readonly tenant: string;
  readonly database: string;
  /** The name by which the node knows it; of a copy it is not the one that clients use. */
  readonly name: string;
  /** Everything up to here is in it, whatever the checkpoint of the node. */
  readonly fromLSN: number;
  /** Its number among the copies made on the node; 0 when the node created it from the log. */
  readonly copy: number;
  /** Why its content may differ from the log; null when it is healthy. */
  readonly suspect: string | null;
}

/** A shard that a node has just created or renamed (with id `physical`), or whose collection was deleted (null). */
export interface ShardChange {
  readonly shard: string;
  readonly physical: string | null;
  /** The name by which the node knows it, also one that is deleted and waits to be dropped; null once it is dropped. */
  readonly name: string | null;
  readonly lsn: number;
}

interface QueuedCheckpoint {
  readonly epoch: number;
  readonly node: NodeBeginning;
  readonly lsn: number;
  readonly changes: readonly ShardChange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes the checkpoints of all nodes, one statement in flight; those that arrive meanwhile share the next. */
export class Checkpoints {
  readonly #database: Database;
  #queue: QueuedCheckpoint[] = [];
  #writing = false;
  #written: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Resolves when the checkpoint is durable. Throws when the lease has moved on, the node has begun again without content, or
   * PostgreSQL does not respond.
   */
  save(epoch: number, node: NodeBeginning, lsn: number, changes: readonly ShardChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ epoch, node, lsn, changes, resolve, reject });
      if (!this.#writing) this.#written = this.#drain();
    });
  }

  /** Resolves when no checkpoint is being written. */
  settled(): Promise<void> {
    return this.#written;
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        const begunAgain = await this.#write(batch);
        for (const { node, resolve, reject } of batch)
          if (begunAgain.includes(node.id)) reject(new Error(`${node.id} has begun again without content`));
          else resolve();
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#writing = false;
  }

  /** The shards assigned to a node, as last checkpointed. */
  async assigned(node: string): Promise<Map<string, AssignedShard>> {
    const s = this.#database.schema;
    const rows = await this.#database.query<{ shard: string } & AssignedShard & Record<string, unknown>>(
      `select n.shard, n.physical, c.tenant, c.database, n.name, n.from_lsn as "fromLSN", n.copy, n.suspect
       from ${s}.node_shard n join ${s}.shard x on x.id = n.shard join ${s}.collection c on c.id = x.collection
       where n.node = $1 and n.state = 'current'`,
      [node],
    );
    return new Map(rows.map(({ shard, ...assigned }) => [shard, assigned]));
  }

  /** LSN up to which a node that has lost its content, or left, since may have applied the shard, on a healthy copy. */
  async takenEarlier(shard: string): Promise<number> {
    const [row] = await this.#database.query<{ lsn: number }>(
      `select taken_lsn as lsn from ${this.#database.schema}.shard where id = $1`,
      [shard],
    );
    return row?.lsn ?? 0;
  }

  /** Records that a node's copy of a shard is suspect; returns its id there. Throws when the lease has moved on. */
  async suspect(epoch: number, node: string, shard: string, reason: string): Promise<string> {
    const s = this.#database.schema;
    const [row] = await this.#database.query<{ physical: string }>(
      `update ${s}.node_shard set suspect = coalesce(suspect, $4), view = ${s}.next_view()
       where node = $2 and shard = $3 and state = 'current' and exists (select from ${s}.node where id = $2 and epoch = $1 for share)
       returning physical`,
      [epoch, node, shard, reason],
    );
    if (row === undefined)
      throw new Error(`${node} could not be recorded as suspect: the lease has moved on`);
    return row.physical;
  }

  /** I7: checkpoints of two terms never share a statement: each is written under its own epoch, or fails alone. */
  #takeBatch(): QueuedCheckpoint[] {
    const epoch = this.#queue[0]?.epoch;
    const nodes = new Set<string>();
    const batch: QueuedCheckpoint[] = [];
    for (const waiting of this.#queue) {
      if (waiting.epoch !== epoch || nodes.has(waiting.node.id)) break;
      nodes.add(waiting.node.id);
      batch.push(waiting);
    }
    this.#queue = this.#queue.slice(batch.length);
    return batch;
  }

  /**
   * Returns the nodes that have begun again since: a statement may be executed late, and a node without content has no
   * earlier checkpoint.
   */
  async #write(batch: readonly QueuedCheckpoint[]): Promise<readonly string[]> {
    const changes = batch.flatMap(({ node, changes: shards }) =>
      shards.map((shard) => ({ node: node.id, ...shard })),
    );
    const [row] = await this.#database.query<{ begunAgain: string[] }>(
      `select ${this.#database.schema}.checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9) as "begunAgain"`,
      [
        batch[0]?.epoch,
        batch.map(({ node }) => node.id),
        batch.map(({ node }) => node.resets),
        batch.map(({ lsn }) => lsn),
        changes.map(({ node }) => node),
        changes.map(({ shard }) => shard),
        changes.map(({ physical }) => physical),
        changes.map(({ name }) => name),
        changes.map(({ lsn }) => lsn),
      ],
    );
    return row?.begunAgain ?? [];
  }
}
