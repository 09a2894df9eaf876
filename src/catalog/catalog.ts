// What exists, and under which id where: the gateway's copy of the catalog rows, brought up to date by view number.
// Collections keep the id Polychrome gave them; each node knows a shard under a physical id of its own.

import type { Database } from '../postgres/database.ts';
import { mapKey } from '../util/map-key.ts';

export interface Shard {
  readonly id: string;
  /** Fixed by the first write that brings embeddings; null until then, and possibly behind the log. */
  dimension: number | null;
  /** LSN of the last entry of this shard, as of the last refresh. */
  lastLSN: number;
}

export interface Collection {
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  readonly name: string;
  readonly state: 'creating' | 'ready' | 'deleted';
  readonly pendingLSN: number | null;
  readonly createdLSN: number;
  readonly shards: readonly Shard[];
}

export interface ShardCopy {
  readonly physical: string;
  readonly fromLSN: number;
  /** Why its content is in doubt; null when it is sound. */
  readonly suspect: string | null;
}

/** A collection that is in doubt on a node, and why. */
export interface SuspectCollection extends Pick<Collection, 'id' | 'tenant' | 'database' | 'name'> {
  readonly reason: string;
}

interface CollectionRow extends Omit<Collection, 'shards'>, Record<string, unknown> {
  view: number;
  shards: Shard[] | null;
}

const key = (...parts: readonly string[]): string => mapKey(JSON.stringify(parts));

export class Catalog {
  readonly #database: Database;
  #view = 0;
  /** Names of tenants by their keys; databases likewise. */
  #tenants = new Map<string, string>();
  #databases = new Map<string, { id: string; tenant: string; name: string; createdLSN: number }>();
  #byId = new Map<string, Collection>();
  #byName = new Map<string, Collection>();
  #physical = new Map<string, Map<string, ShardCopy>>();
  /** Why a shard is in doubt, by node and shard; of deleted ones, too: nodes come to the deletion later (I3). */
  readonly #suspect = new Map<string, Map<string, string>>();
  /** Collections of shards, by id. */
  readonly #collectionOf = new Map<string, string>();
  #refreshing: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The version of the view this copy has. */
  get view(): number {
    return this.#view;
  }

  hasTenant(tenant: string): boolean {
    return this.#tenants.has(key(tenant));
  }

  tenants(): string[] {
    return [...this.#tenants.values()];
  }

  database(tenant: string, name: string): { id: string; tenant: string; name: string } | undefined {
    return this.#databases.get(key(tenant, name));
  }

  /** Every database, those of unknown tenants included: a server creates databases without looking for the tenant. */
  everyDatabase(): { id: string; tenant: string; name: string }[] {
    return [...this.#databases.values()];
  }

  /** Databases of a tenant by name, in the order of bytes, as Chroma lists them. */
  databases(tenant: string): { id: string; tenant: string; name: string }[] {
    return [...this.#databases.values()]
      .filter((database) => database.tenant === tenant)
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }

  collection(id: string): Collection | undefined {
    return this.#byId.get(id);
  }

  collectionNamed(tenant: string, database: string, name: string): Collection | undefined {
    return this.#byName.get(key(tenant, database, name));
  }

  /** Visible collections of a database in the order they were created. */
  collections(tenant: string, database: string): Collection[] {
    const found: Collection[] = [];
    for (const collection of this.#byName.values()) {
      if (collection.tenant === tenant && collection.database === database && collection.state === 'ready') {
        found.push(collection);
      }
    }
    return found.sort((a, b) => a.createdLSN - b.createdLSN);
  }

  /** All collections that are not deleted, the undecided included. */
  liveCollections(tenant: string, database: string): Collection[] {
    const live = [...this.#byId.values()].filter((c) => c.tenant === tenant && c.database === database);
    return live.sort((a, b) => a.createdLSN - b.createdLSN);
  }

  /** The collection that a shard belongs to; undefined when it is deleted. */
  collectionOfShard(shard: string): Collection | undefined {
    return this.#byId.get(this.#collectionOf.get(shard) ?? '');
  }

  /** Whether the node has a copy of the shard that may be served. */
  isHealthy(node: string, shard: string): boolean {
    const physical = this.physical(node, shard);
    return physical !== undefined && physical.suspect === null;
  }

  physical(node: string, shard: string): ShardCopy | undefined {
    return this.#physical.get(node)?.get(shard);
  }

  /** From now on the shard is suspect on the node, whatever a refresh under way may still say. */
  markSuspect(node: string, shard: string, reason: string): void {
    const ofNode = this.#suspect.get(node) ?? new Map<string, string>();
    this.#suspect.set(node, ofNode.set(shard, reason));
    const known = this.physical(node, shard);
    if (known !== undefined) this.#takePhysical(node, shard, { ...known, suspect: reason });
  }

  /** Whether the shard is suspect on the node. */
  isSuspect(node: string, shard: string): boolean {
    return this.#suspect.get(node)?.has(shard) ?? false;
  }

  /** Collections whose content is in doubt on a node, where they are not used; `max` at most. */
  suspects(node: string, max: number): SuspectCollection[] {
    const found: SuspectCollection[] = [];
    for (const [shard, reason] of this.#suspect.get(node) ?? []) {
      const collection = this.collectionOfShard(shard);
      if (collection === undefined) continue; // deleted
      if (found.length === max) break;
      const { id, tenant, database, name } = collection;
      found.push({ id, tenant, database, name, reason });
    }
    return found;
  }

  /** Brings the copy up to a state no older than the moment of the call. */
  refresh(): Promise<void> {
    // One that is under way may have begun before the caller's change: wait for the one after it.
    if (this.#refreshing === null) {
      this.#refreshing = this.#load().finally(() => {
        this.#refreshing = null;
      });
      return this.#refreshing;
    }
    this.#next ??= this.#refreshing
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return this.refresh();
      });
    return this.#next;
  }

  /** Removes rows of deleted collections that no entry of the log and no node refers to any more. */
  async forgetDeleted(): Promise<void> {
    const s = this.#database.schema;
    // A shard's last entry is the deletion of its collection. A hundred at a time: such rows are small and never urgent.
    await this.#database.query(
      `with gone as (
         select c.id from ${s}.collection c where c.state = 'deleted' and not exists (
           select from ${s}.shard x where x.collection = c.id and
             (x.last_lsn > (select trimmed from ${s}.head)
              or exists (select from ${s}.node_shard n where n.shard = x.id)))
         limit 100),
       shards as (delete from ${s}.shard x using gone where x.collection = gone.id)
       delete from ${s}.collection c using gone where c.id = gone.id`,
    );
  }

  async #load(): Promise<void> {
    const s = this.#database.schema;
    const since = this.#view;
    // One statement, so one snapshot: the view number and the rows belong together.
    const [row] = await this.#database.query<{
      view: number;
      tenants: { name: string; deleted: boolean }[];
      databases: { tenant: string; name: string; id: string; createdLSN: number; deleted: boolean }[];
      collections: CollectionRow[];
      physical: ({ node: string; shard: string } & ShardCopy)[];
    }>(
      `select
        (select view from ${s}.head) as view,
        (select coalesce(json_agg(json_build_object('name', name, 'deleted', deleted)), '[]')
           from ${s}.tenant where view > $1) as tenants,
        (select coalesce(json_agg(json_build_object('tenant', tenant, 'name', name, 'id', id,
                  'createdLSN', created_lsn, 'deleted', deleted)), '[]')
           from ${s}.database where view > $1) as databases,
        (select coalesce(json_agg(json_build_object('id', id, 'tenant', tenant, 'database', database, 'name', name,
                  'state', state, 'pendingLSN', pending_lsn, 'createdLSN', created_lsn, 'shards',
                  (select json_agg(json_build_object('id', x.id, 'dimension', x.dimension, 'lastLSN', x.last_lsn))
                     from ${s}.shard x where x.collection = collection.id))), '[]')
           from ${s}.collection where view > $1 and ($1 > 0 or state <> 'deleted')) as collections,
        (select coalesce(json_agg(json_build_object('node', node, 'shard', shard, 'physical', physical,
                  'fromLSN', from_lsn, 'suspect', suspect)), '[]')
           from ${s}.node_shard where view > $1) as physical`,
      [since],
      'catalog',
    );
    if (row === undefined) return;
    for (const tenant of row.tenants) {
      if (tenant.deleted) this.#tenants.delete(key(tenant.name));
      else this.#tenants.set(key(tenant.name), tenant.name);
    }
    for (const { deleted, ...database } of row.databases) {
      if (deleted) this.#databases.delete(key(database.tenant, database.name));
      else this.#databases.set(key(database.tenant, database.name), database);
    }
    this.#takeCollections(row.collections);
    for (const { node, shard, ...physical } of row.physical) this.#takePhysical(node, shard, physical);
    this.#view = row.view;
  }

  #takePhysical(node: string, shard: string, physical: ShardCopy): void {
    const doubts = this.#suspect.get(node) ?? new Map<string, string>();
    // A row may have been read before the doubt was recorded; nothing ends one.
    const suspect = physical.suspect ?? doubts.get(shard) ?? null;
    if (suspect !== null) this.#suspect.set(node, doubts.set(shard, suspect));
    const ofNode = this.#physical.get(node) ?? new Map<string, ShardCopy>();
    this.#physical.set(node, ofNode.set(shard, { ...physical, suspect }));
  }

  #takeCollections(rows: readonly CollectionRow[]): void {
    // Names first leave their old holders, then are taken: a chain of renames may arrive in any order.
    for (const row of rows) {
      const old = this.#byId.get(row.id);
      if (old === undefined) continue;
      const name = key(old.tenant, old.database, old.name);
      if (this.#byName.get(name)?.id === old.id) this.#byName.delete(name);
      if (row.state === 'deleted') this.#forget(old);
    }
    for (const row of rows) {
      if (row.state === 'deleted') continue;
      const { id, tenant, database, name, state, pendingLSN, createdLSN } = row;
      const shards = row.shards ?? [];
      const collection: Collection = { id, tenant, database, name, state, pendingLSN, createdLSN, shards };
      this.#byId.set(id, collection);
      this.#byName.set(key(tenant, database, name), collection);
      for (const shard of shards) this.#collectionOf.set(shard.id, id);
    }
  }

  #forget(collection: Collection): void {
    this.#byId.delete(collection.id);
    for (const { id } of collection.shards) {
      this.#collectionOf.delete(id);
      for (const ofNode of this.#physical.values()) ofNode.delete(id);
    }
  }
}
