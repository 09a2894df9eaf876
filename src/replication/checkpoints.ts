// Durable checkpoints and decisions: each written in one statement that is conditional on the epoch (I4, I5, I7).

import type { Database } from '../postgres/database.ts';
import { Notifier } from '../util/notifier.ts';

/** A shard as one node holds it: under the id that node gave it, in the database its collection belongs to. */
export interface HeldShard {
  readonly physical: string;
  readonly tenant: string;
  readonly database: string;
  /** Why its content is in doubt; null when it is sound. */
  readonly suspect: string | null;
}

/** A shard a node has just created (under `physical`) or dropped (null). */
export interface ShardChange {
  readonly shard: string;
  readonly physical: string | null;
  readonly lsn: number;
}

interface Waiting {
  readonly epoch: number;
  readonly node: string;
  readonly lsn: number;
  readonly changes: readonly ShardChange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes the checkpoints of all nodes over one statement in flight: what arrives meanwhile goes together next. */
export class Checkpoints {
  readonly #database: Database;
  #queue: Waiting[] = [];
  #writing = false;
  #written: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Resolves when the checkpoint is durable. Throws when the lease has moved on or PostgreSQL does not answer. */
  save(epoch: number, node: string, lsn: number, changes: readonly ShardChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ epoch, node, lsn, changes, resolve, reject });
      if (!this.#writing) this.#written = this.#drain();
    });
  }

  /** Resolves when no checkpoint is on its way to PostgreSQL. */
  settled(): Promise<void> {
    return this.#written;
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#write(batch);
        for (const waiting of batch) waiting.resolve();
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#writing = false;
  }

  /** What a node holds, as last checkpointed. */
  async held(node: string): Promise<Map<string, HeldShard>> {
    const s = this.#database.schema;
    const rows = await this.#database.query<{ shard: string } & HeldShard & Record<string, unknown>>(
      `select n.shard, n.physical, c.tenant, c.database, n.suspect from ${s}.node_shard n
         join ${s}.shard x on x.id = n.shard join ${s}.collection c on c.id = x.collection where n.node = $1`,
      [node],
    );
    return new Map(
      rows.map(({ shard, physical, tenant, database, suspect }) => [
        shard,
        { physical, tenant, database, suspect },
      ]),
    );
  }

  /** Makes a node's shard suspect. Throws when the lease has moved on. */
  async suspect(epoch: number, node: string, shard: string, reason: string): Promise<void> {
    const s = this.#database.schema;
    const rows = await this.#database.query(
      `update ${s}.node_shard set suspect = coalesce(suspect, $4), view = ${s}.next_view()
       where node = $2 and shard = $3 and exists (select from ${s}.node where id = $2 and epoch = $1 for share)
       returning shard`,
      [epoch, node, shard, reason],
    );
    if (rows.length === 0)
      throw new Error(`${node} could not be recorded as suspect: the lease has moved on`);
  }

  /** I7: what one term left waiting never goes out under the epoch of another, nor takes the other's down with it. */
  #takeBatch(): Waiting[] {
    const epoch = this.#queue[0]?.epoch;
    const nodes = new Set<string>();
    const batch: Waiting[] = [];
    for (const waiting of this.#queue) {
      if (waiting.epoch !== epoch || nodes.has(waiting.node)) break;
      nodes.add(waiting.node);
      batch.push(waiting);
    }
    this.#queue = this.#queue.slice(batch.length);
    return batch;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const changes = batch.flatMap(({ node, changes: shards }) => shards.map((shard) => ({ node, ...shard })));
    await this.#database.query(
      `select ${this.#database.schema}.checkpoint($1, $2, $3, $4, $5, $6, $7)`,
      [
        batch[0]?.epoch,
        batch.map((waiting) => waiting.node),
        batch.map((waiting) => waiting.lsn),
        changes.map((shard) => shard.node),
        changes.map((shard) => shard.shard),
        changes.map((shard) => shard.physical),
        changes.map((shard) => shard.lsn),
      ],
      'checkpoint',
    );
  }
}

export interface Decision {
  readonly lsn: number;
  readonly outcome: 'accepted' | 'refused' | 'quarantined';
  /** What the primary answered: HTTP status and body; for a conditional delete the ids as a JSON array. */
  readonly status: number;
  readonly body: Buffer;
}

/** Decisions as recorded, remembered while anybody may still ask. */
export class Decisions {
  readonly #database: Database;
  readonly #recent = new Map<number, Decision>();
  readonly #quarantined = new Set<number>();
  /** Notified when one was recorded. */
  readonly recorded = new Notifier();

  // Decisions are asked for by replicas within moments; older ones are read from PostgreSQL again.
  static readonly #RECENT_MAX = 1_024;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Learns which entries are quarantined; called at the start of a term. */
  async load(): Promise<void> {
    const rows = await this.#database.query<{ lsn: number }>(
      `select lsn from ${this.#database.schema}.decision where outcome = 'quarantined'`,
    );
    this.#quarantined.clear();
    for (const row of rows) this.#quarantined.add(row.lsn);
  }

  /** LSNs of entries that no node takes, ascending. */
  get quarantined(): number[] {
    return [...this.#quarantined].sort((a, b) => a - b);
  }

  isQuarantined(lsn: number): boolean {
    return this.#quarantined.has(lsn);
  }

  /** The decision for an entry, or null when there is none yet. */
  async find(lsn: number): Promise<Decision | null> {
    const known = this.#recent.get(lsn);
    if (known !== undefined) return known;
    const [row] = await this.#database.query<Decision & Record<string, unknown>>(
      `select lsn, outcome, status, body from ${this.#database.schema}.decision where lsn = $1`,
      [lsn],
      'find_decision',
    );
    if (row !== undefined) this.#remember(row);
    return row ?? null;
  }

  /** The decision if it is in memory. */
  peek(lsn: number): Decision | undefined {
    return this.#recent.get(lsn);
  }

  /**
   * Records a decision and returns the one that stands: the first. Null when the lease or the primary has moved on,
   * and so somebody else decides.
   */
  async record(
    by: { epoch: number; node: string; generation: number },
    decision: Decision,
  ): Promise<Decision | null> {
    const { lsn, outcome, status, body } = decision;
    const [row] = await this.#database.query<Decision & Record<string, unknown>>(
      `select d.lsn, d.outcome, d.status, d.body from ${this.#database.schema}.decide($1, $2, $3, $4, $5, $6, $7) d`,
      [by.epoch, by.node, by.generation, lsn, outcome, status, body],
      'decide',
    );
    if (row === undefined || row.lsn === null) return null;
    this.#remember(row);
    this.recorded.notify();
    return row;
  }

  #remember(decision: Decision): void {
    this.#recent.set(decision.lsn, decision);
    if (decision.outcome === 'quarantined') this.#quarantined.add(decision.lsn);
    if (this.#recent.size > Decisions.#RECENT_MAX) {
      this.#recent.delete(this.#recent.keys().next().value as number);
    }
  }
}
