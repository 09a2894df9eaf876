// What PostgreSQL knows of a log that has lost its last entries, and the step that ends the loss.

import { checksum } from '../log/entry.ts';
import type { Database } from '../postgres/database.ts';

export interface LostLog {
  readonly log: string;
  readonly head: number;
  /** The highest LSN that anyone is known to have seen. */
  readonly seen: number;
  readonly isRewound: boolean;
  readonly primary: string | null;
  readonly tenants: readonly string[];
  readonly databases: readonly { readonly tenant: string; readonly database: string }[];
  readonly nodes: readonly {
    readonly id: string;
    readonly url: string;
    readonly identity: { readonly cluster: string; readonly node: string; readonly incarnation: string };
    readonly checkpoint: number;
    /** Of the entry at the checkpoint. */
    readonly token: string;
  }[];
}

/** A collection of the log on one node. */
export interface KnownCopy {
  readonly shard: string;
  readonly physical: string;
  readonly name: string;
  readonly tenant: string;
  readonly database: string;
  readonly dimension: number | null;
  readonly isInUse: boolean;
}

export interface RecoveryStep {
  readonly kept: string;
  /** The last lost LSN. */
  readonly last: number;
  readonly dimensions: readonly { readonly shard: string; readonly dimension: number }[];
}

const NO_TOKEN = '00000000-0000-0000-0000-000000000000';

export class RecoveryStore {
  readonly #database: Database;
  readonly #newId: () => string;

  constructor(database: Database, newId: () => string) {
    this.#database = database;
    this.#newId = newId;
  }

  async lost(): Promise<LostLog> {
    const s = this.#database.schema;
    const [row] = await this.#database.query(
      `select h.log_id as log, h.lsn as head, greatest(h.lsn, coalesce(h.rewound_lsn, 0)) as seen,
         h.rewound is not null as "isRewound", h.primary_node as primary,
         (select coalesce(json_agg(name), '[]') from ${s}.tenant where not deleted) as tenants,
         (select coalesce(json_agg(json_build_object('tenant', tenant, 'database', name)), '[]')
            from ${s}.database where not deleted) as databases,
         (select coalesce(json_agg(json_build_object('id', n.id, 'url', n.url, 'checkpoint', n.checkpoint,
             'identity', json_build_object('cluster', h.cluster, 'node', n.id, 'incarnation', n.incarnation),
             'token', coalesce((select batch from ${s}.log where lsn = n.checkpoint), $1::uuid))), '[]')
            from ${s}.node n where not n.removed and n.incarnation is not null) as nodes
       from ${s}.head h`,
      [NO_TOKEN],
    );
    return row as unknown as LostLog;
  }

  async copies(node: string): Promise<KnownCopy[]> {
    const s = this.#database.schema;
    return (await this.#database.query(
      `select n.shard, n.physical, n.name, c.tenant, c.database, x.dimension,
              n.state = 'current' and n.suspect is null as "isInUse"
       from ${s}.node_shard n join ${s}.shard x on x.id = n.shard join ${s}.collection c on c.id = x.collection
       where n.node = $1`,
      [node],
    )) as unknown as KnownCopy[];
  }

  /** False, and nothing changes, when the lease has moved on. */
  async recover(epoch: number, { kept, last, dimensions }: RecoveryStep): Promise<boolean> {
    const header = JSON.stringify({ note: 'lost: an operator accepted it' });
    const sum = checksum({ kind: 'note', target: null, header, body: Buffer.alloc(0) });
    const [row] = await this.#database.query<{ done: boolean }>(
      `select ${this.#database.schema}.recover_log($1, $2, $3, $4, $5, $6, $7::jsonb) as done`,
      [epoch, kept, last, this.#newId(), header, sum, JSON.stringify(dimensions)],
    );
    return row?.done === true;
  }
}
