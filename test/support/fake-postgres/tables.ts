// The tables of src/postgres/migrations in memory. Rows are immutable, so that a copy of the maps is a snapshot.

export interface HeadRow {
  readonly cluster: string;
  readonly log_id: string;
  readonly lsn: number;
  readonly trimmed: number;
  readonly view: number;
  readonly primary_node: string | null;
  readonly primary_generation: number;
  readonly capabilities: unknown;
  readonly capability_revision: number;
  readonly timeline: number | null;
  readonly rewound: string | null;
  readonly rewound_lsn: number | null;
  readonly exceptions: number;
}

interface GatewayRow {
  readonly address: string;
  readonly version: string;
  readonly started_at: number;
  readonly seen_at: number;
  readonly nodes_reached: number;
  readonly number: number;
  readonly knows: number;
}

export interface LogRow {
  readonly lsn: number;
  readonly kind: string;
  readonly target: string | null;
  readonly header: string;
  readonly body: Buffer;
  readonly checksum: number;
  readonly batch: string;
  readonly at: number;
}

export interface DecisionRow {
  readonly lsn: number;
  readonly outcome: string;
  readonly status: number;
  readonly body: Buffer;
  readonly pages: number;
  readonly generation: number;
}

interface DatabaseRow {
  readonly tenant: string;
  readonly name: string;
  readonly id: string;
  readonly deleted: boolean;
  readonly view: number;
}

interface CollectionRow {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  readonly name: string;
  readonly state: 'creating' | 'ready' | 'deleted';
  readonly pending_lsn: number | null;
  readonly created_lsn: number;
  readonly view: number;
}

interface NameRow {
  readonly tenant: string;
  readonly database: string;
  readonly name: string;
  readonly collection: string;
  readonly pending_lsn: number | null;
}

export interface ShardRow {
  readonly id: string;
  readonly collection: string;
  readonly dimension: number | null;
  readonly last_lsn: number;
  readonly live: boolean;
  readonly taken_lsn: number;
}

export interface NodeTableRow {
  readonly id: string;
  readonly url: string;
  readonly incarnation: string | null;
  readonly checkpoint: number;
  readonly marker_lsn: number;
  readonly state: string;
  readonly reason: string | null;
  readonly removed: boolean;
  readonly epoch: number;
  readonly view: number;
  readonly busy_lsn: number | null;
  readonly busy_until: number | null;
  readonly copies: number;
  readonly marker_copy: number;
  readonly position: number;
  readonly drained: boolean;
  readonly counts: boolean;
  readonly resets: number;
  readonly filling: boolean;
  readonly discard: boolean;
  readonly state_epoch: number;
}

export interface NodeShardRow {
  readonly node: string;
  readonly shard: string;
  readonly physical: string;
  readonly name: string;
  readonly from_lsn: number;
  readonly suspect: string | null;
  readonly view: number;
  readonly state: 'building' | 'current' | 'retired';
  readonly since: number;
  readonly copy: number;
}

export interface LeaseTableRow {
  readonly epoch: number;
  readonly holder: string | null;
  readonly renewal: number;
}

interface AttemptRow {
  readonly lsn: number;
  readonly node: string;
  readonly attempts: number;
  readonly alone: number;
  readonly applied_records: number;
  readonly kind: string;
  readonly status: number;
  readonly detail: string;
}

interface BodyRow {
  readonly collection: string;
  readonly lsn: number;
  readonly kind: string;
  readonly body: Buffer;
  readonly only_metadata: boolean;
}

interface ScrubTableRow {
  readonly started_at: number;
  readonly finished_at: number | null;
  readonly cursor: string | null;
  readonly shards: number;
  readonly records: number;
  readonly uncompared: number;
  readonly suspects: number;
  readonly skipped: number;
  readonly paused: boolean;
  readonly requested_at: number | null;
}

const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/** The key of a row with several columns in its key. */
export const keyOf = (...parts: readonly (string | number)[]): string => JSON.stringify(parts);

export class Tables {
  head: HeadRow;
  lease: LeaseTableRow = { epoch: 0, holder: null, renewal: 0 };
  scrub: ScrubTableRow;
  log = new Map<number, LogRow>();
  batches = new Map<string, { readonly results: readonly object[]; readonly at: number }>();
  decisions = new Map<number, DecisionRow>();
  /** By LSN, generation and page. */
  pages = new Map<string, Buffer>();
  tenants = new Map([['default_tenant', { deleted: false, view: 1 }]]);
  /** By tenant and name. */
  databases = new Map<string, DatabaseRow>();
  collections = new Map<string, CollectionRow>();
  /** By tenant, database and name. */
  names = new Map<string, NameRow>();
  shards = new Map<string, ShardRow>();
  nodes = new Map<string, NodeTableRow>();
  gateways = new Map<string, GatewayRow>();
  gatewayNumber = 0;
  /** By node and physical id. */
  nodeShards = new Map<string, NodeShardRow>();
  /** By collection and LSN. */
  bodies = new Map<string, BodyRow>();
  /** By LSN and node. */
  attempts = new Map<string, AttemptRow>();
  /** LSN of each quarantined entry, and whether an operator has closed it. */
  quarantine = new Map<number, { readonly closed: boolean }>();
  /** Kinds of the events, in order. */
  events: string[] = [];

  constructor(ids: { readonly cluster: string; readonly log: string }, nowMs: number) {
    this.head = {
      cluster: ids.cluster,
      log_id: ids.log,
      lsn: 0,
      trimmed: 0,
      view: 1,
      primary_node: null,
      primary_generation: 0,
      capabilities: null,
      capability_revision: 0,
      timeline: null,
      rewound: null,
      rewound_lsn: null,
      exceptions: 0,
    };
    const none = { shards: 0, records: 0, uncompared: 0, suspects: 0, skipped: 0 };
    const dates = { started_at: nowMs, finished_at: nowMs, requested_at: null };
    this.scrub = { ...dates, cursor: null, ...none, paused: false };
    const [tenant, name] = ['default_tenant', 'default_database'];
    this.databases.set(keyOf(tenant, name), { tenant, name, id: NIL_UUID, deleted: false, view: 1 });
  }

  /** A snapshot that does not follow further changes. */
  copy(): Tables {
    const copy = Object.create(Tables.prototype) as Tables;
    for (const [name, value] of Object.entries(this)) {
      const copied: unknown =
        value instanceof Map ? new Map(value) : Array.isArray(value) ? [...value] : value;
      Object.assign(copy, { [name]: copied });
    }
    return copy;
  }

  /** The next view number. */
  nextView(): number {
    const view = this.head.view + 1;
    this.head = { ...this.head, view };
    return view;
  }

  setHead(changes: Partial<HeadRow>): void {
    this.head = { ...this.head, ...changes };
  }

  /** Changes a collection that exists, under the next view number. */
  setCollection(id: string, changes: Partial<Omit<CollectionRow, 'view'>>): void {
    const row = this.collections.get(id);
    if (row !== undefined) this.collections.set(id, { ...row, ...changes, view: this.nextView() });
  }

  setNode(id: string, changes: Partial<NodeTableRow>): void {
    const row = this.nodes.get(id);
    if (row !== undefined) this.nodes.set(id, { ...row, ...changes });
  }

  setNodeShard(row: NodeShardRow): void {
    this.nodeShards.set(keyOf(row.node, row.physical), row);
  }

  /** The copy of a shard that is in use on the node; null when there is none. */
  currentCopy(node: string, shard: string): NodeShardRow | null {
    for (const row of this.nodeShards.values())
      if (row.node === node && row.shard === shard && row.state === 'current') return row;
    return null;
  }

  /** Changes the names of a collection: those for which `change` returns null are given up. */
  changeNames(collection: string, change: (row: NameRow) => NameRow | null): void {
    for (const [key, row] of this.names) {
      if (row.collection !== collection) continue;
      const changed = change(row);
      if (changed === null) this.names.delete(key);
      else this.names.set(key, changed);
    }
  }
}
