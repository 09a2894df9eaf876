// The gateway's copy of the catalog: tenants, databases and collections, and the physical id of each shard on each node.
// refresh() reads the rows that changed since the view number of the copy.

import type { Database } from '../postgres/database.ts';
import { mapKey } from '../util/map-key.ts';

export interface Shard {
  readonly id: string;
  /** Fixed by the first write with embeddings; null until then. A writer that learns it before a refresh sets it. */
  dimension: number | null;
}

export interface Collection {
  /** Assigned by Polychrome; nodes know the collection by other ids. */
  readonly id: string;
  readonly tenant: string;
  readonly database: string;
  readonly name: string;
  readonly state: 'creating' | 'ready' | 'deleted';
  readonly createdLSN: number;
  readonly shards: readonly Shard[];
}

/** The copy of a shard on one node. */
export interface ShardCopy {
  /** Id of the collection on that node. */
  readonly physical: string;
  /** The name by which the node knows it; of a copy it is not the one that clients use. */
  readonly name: string;
  /** Its number among the copies made on the node; 0 when the node created it from the log. */
  readonly copy: number;
  /** Why the copy is suspect; null when it is healthy. */
  readonly suspect: string | null;
}

/** A collection whose copy on a node is suspect. */
export interface SuspectCollection extends Pick<Collection, 'id' | 'tenant' | 'database' | 'name'> {
  readonly reason: string;
}

export interface DatabaseInfo {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
}

interface CollectionRow extends Omit<Collection, 'shards'>, Record<string, unknown> {
  view: number;
  shards: Shard[] | null;
}

interface CatalogRows extends Record<string, unknown> {
  view: number;
  /** Of the PostgreSQL server. */
  timeline: number;
  tenants: { name: string; deleted: boolean }[];
  databases: { tenant: string; name: string; id: string; deleted: boolean }[];
  collections: CollectionRow[];
  physical: ({ node: string; shard: string; view: number } & ShardCopy)[];
}

/** A timeline that no server has. */
const UNKNOWN = -1;

/** Concerns one copy: the copy that replaces it is not suspect. */
interface Suspicion {
  readonly reason: string;
  /** Null while the id of the copy is not known here. */
  readonly physical: string | null;
}

/** Adopted collections have no LSN of their own. */
function byCreation(a: Collection, b: Collection): number {
  return a.createdLSN - b.createdLSN || (a.id < b.id ? -1 : 1);
}

const key = (...parts: readonly string[]): string => mapKey(JSON.stringify(parts));

export class Catalog {
  readonly #database: Database;
  #view = 0;
  /** Of the PostgreSQL server that it was read from. */
  #timeline = UNKNOWN;
  /** Counts the calls of forgetNode(). */
  #forgotten = 0;
  /** By mapKey of the name, or names. */
  #tenants = new Map<string, string>();
  #databases = new Map<string, DatabaseInfo>();
  #byId = new Map<string, Collection>();
  #byName = new Map<string, Collection>();
  #physical = new Map<string, Map<string, ShardCopy>>();
  /** By node and shard. Shards of deleted collections stay: nodes apply the deletion later (I3). */
  readonly #suspect = new Map<string, Map<string, Suspicion>>();
  /** Collection ids by shard. */
  readonly #collectionOf = new Map<string, string>();
  /** Counts the copies that became suspect. */
  suspicions = 0;
  /** By node. */
  readonly #lastSuspicion = new Map<string, number>();
  #refreshing: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The view number of this copy of the catalog. */
  get view(): number {
    return this.#view;
  }

  /** The timeline of the PostgreSQL server that it was read from. */
  get timeline(): number {
    return this.#timeline;
  }

  /** The view number with which a copy on the node became suspect last; 0 when none did. */
  lastSuspicion(node: string): number {
    return this.#lastSuspicion.get(node) ?? 0;
  }

  hasTenant(tenant: string): boolean {
    return this.#tenants.has(key(tenant));
  }

  tenants(): string[] {
    return [...this.#tenants.values()];
  }

  database(tenant: string, name: string): DatabaseInfo | null {
    return this.#databases.get(key(tenant, name)) ?? null;
  }

  /** Databases of all tenants, and of tenants that do not exist: Chroma creates databases without checking the tenant. */
  everyDatabase(): DatabaseInfo[] {
    return [...this.#databases.values()];
  }

  /** Databases of a tenant in byte order of their names, as Chroma lists them. */
  databases(tenant: string): DatabaseInfo[] {
    return [...this.#databases.values()]
      .filter((database) => database.tenant === tenant)
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }

  collection(id: string): Collection | null {
    return this.#byId.get(id) ?? null;
  }

  collectionNamed(tenant: string, database: string, name: string): Collection | null {
    return this.#byName.get(key(tenant, database, name)) ?? null;
  }

  /** Collections of a database that clients see, in order of creation. */
  collections(tenant: string, database: string): Collection[] {
    const found: Collection[] = [];
    for (const collection of this.#byName.values()) {
      if (collection.tenant === tenant && collection.database === database && collection.state === 'ready') {
        found.push(collection);
      }
    }
    return found.sort(byCreation);
  }

  /** Collections of a database that are not deleted, including those whose creation is not decided. */
  liveCollections(tenant: string, database: string): Collection[] {
    const live = [...this.#byId.values()].filter((c) => c.tenant === tenant && c.database === database);
    return live.sort(byCreation);
  }

  /** The shards of every collection that clients see. */
  shards(): string[] {
    const isReady = (collection: string): boolean => this.#byId.get(collection)?.state === 'ready';
    return [...this.#collectionOf].filter(([, collection]) => isReady(collection)).map(([shard]) => shard);
  }

  /** The collection of a shard; null when it is deleted. */
  collectionOfShard(shard: string): Collection | null {
    return this.collection(this.#collectionOf.get(shard) ?? '');
  }

  /** Whether the node has a copy of the shard that is not suspect. */
  isHealthy(node: string, shard: string): boolean {
    const copy = this.physical(node, shard);
    return copy !== null && copy.suspect === null;
  }

  /** Names of the live collections that have a healthy copy on this node, and on none of the others. */
  onlyHealthyOn(node: string, others: readonly string[]): string[] {
    return [...this.#byId.values()]
      .filter(({ shards }) =>
        shards.some(
          ({ id }) => this.isHealthy(node, id) && !others.some((other) => this.isHealthy(other, id)),
        ),
      )
      .map(({ tenant, database, name }) => `${tenant}/${database}/${name}`);
  }

  /** The copy of the shard on the node; null when there is none. */
  physical(node: string, shard: string): ShardCopy | null {
    return this.#physical.get(node)?.get(shard) ?? null;
  }

  /** The copies of the shard that nodes have. */
  copies(shard: string): ShardCopy[] {
    return [...this.#physical.values()].flatMap((ofNode) => ofNode.get(shard) ?? []);
  }

  /** Marks the shard suspect on the node, also against rows that a refresh in progress has already read. */
  markSuspect(node: string, shard: string, reason: string): void {
    const ofNode = this.#suspect.get(node) ?? new Map<string, Suspicion>();
    const known = this.physical(node, shard);
    this.#suspect.set(node, ofNode.set(shard, { reason, physical: known?.physical ?? null }));
    if (known !== null) this.#storeCopy(node, shard, { ...known, suspect: reason });
  }

  /**
   * The node has left, or begins again without content: none of its copies exists any more. Those of the new beginning may be
   * known already, when this gateway learns of it late: the next refresh reads everything.
   */
  forgetNode(node: string): void {
    this.#timeline = UNKNOWN;
    this.#forgotten += 1;
    this.#physical.delete(node);
    this.#suspect.delete(node);
  }

  isSuspect(node: string, shard: string): boolean {
    return this.#suspect.get(node)?.has(shard) ?? false;
  }

  isSuspectCopy(node: string, shard: string, physical: string): boolean {
    return this.isSuspect(node, shard) && this.physical(node, shard)?.physical === physical;
  }

  /** Shards of collections that are not deleted whose copy on the node is suspect. */
  suspectShards(node: string): string[] {
    return [...(this.#suspect.get(node)?.keys() ?? [])].filter((shard) => this.#collectionOf.has(shard));
  }

  /** Collections that are suspect on the node, and therefore not read there; at most `max`. */
  suspects(node: string, max: number): SuspectCollection[] {
    const found: SuspectCollection[] = [];
    for (const [shard, { reason }] of this.#suspect.get(node) ?? []) {
      const collection = this.collectionOfShard(shard);
      if (collection === null) continue; // deleted
      if (found.length === max) break;
      const { id, tenant, database, name } = collection;
      found.push({ id, tenant, database, name, reason });
    }
    return found;
  }

  /** Updates the copy to a state no older than the moment of the call. */
  refresh(): Promise<void> {
    // A refresh in progress may have begun before the caller's change: wait for the one after it.
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

  /** Deletes rows of deleted collections that no entry of the log and no node refers to. */
  async forgetDeleted(): Promise<void> {
    const s = this.#database.schema;
    // The last entry of a shard is the deletion of its collection. A hundred rows keep the statement short; the rest
    // waits for the next call.
    await this.#database.query(
      `with gone as (
         select c.id from ${s}.collection c where c.state = 'deleted' and not exists (
           select from ${s}.shard x where x.collection = c.id and
             (x.last_lsn > (select trimmed from ${s}.head)
              or exists (select from ${s}.node_shard n where n.shard = x.id)))
         limit 100),
       shards as (delete from ${s}.shard x using gone where x.collection = gone.id),
       bodies as (delete from ${s}.collection_body b using gone where b.collection = gone.id)
       delete from ${s}.collection c using gone where c.id = gone.id`,
    );
  }

  async #load(): Promise<void> {
    const forgotten = this.#forgotten;
    const rows = await this.#rowsSince(this.#view);
    if (rows === undefined) return;
    // A server that was promoted may lack what this copy has, and numbers its own changes with the same views; after
    // forgetNode() rows are missing.
    const mustReadAll = this.#view > 0 && (rows.timeline !== this.#timeline || rows.view < this.#view);
    const all = mustReadAll ? await this.#rowsSince(0) : undefined;
    if (all !== undefined) this.#clear();
    this.#store(all ?? rows);
    // A node was forgotten meanwhile: these rows may lack its copies, or name those it had before.
    if (this.#forgotten !== forgotten) this.#timeline = UNKNOWN;
  }

  /** What changed since a view; 0: everything that exists. */
  async #rowsSince(view: number): Promise<CatalogRows | undefined> {
    const s = this.#database.schema;
    // One statement is one snapshot: the view number matches the rows.
    const [row] = await this.#database.query<CatalogRows>(
      `select
        (select view from ${s}.head) as view,
        ${s}.timeline() as timeline,
        (select coalesce(json_agg(json_build_object('name', name, 'deleted', deleted)), '[]')
           from ${s}.tenant where view > $1) as tenants,
        (select coalesce(json_agg(json_build_object('tenant', tenant, 'name', name, 'id', id,
                  'deleted', deleted)), '[]')
           from ${s}.database where view > $1) as databases,
        (select coalesce(json_agg(json_build_object('id', id, 'tenant', tenant, 'database', database, 'name', name,
                  'state', state, 'createdLSN', created_lsn, 'shards',
                  (select json_agg(json_build_object('id', x.id, 'dimension', x.dimension))
                     from ${s}.shard x where x.collection = collection.id))), '[]')
           from ${s}.collection where view > $1 and ($1 > 0 or state <> 'deleted')) as collections,
        (select coalesce(json_agg(json_build_object('node', node, 'shard', shard, 'physical', physical,
                  'name', name, 'copy', copy, 'suspect', suspect, 'view', view)), '[]')
           from ${s}.node_shard where view > $1 and state = 'current') as physical`,
      [view],
    );
    return row;
  }

  /** Suspicions stay, as they may not be recorded yet; each concerns one copy. */
  #clear(): void {
    for (const each of [this.#tenants, this.#databases, this.#byId, this.#byName]) each.clear();
    for (const each of [this.#physical, this.#collectionOf]) each.clear();
  }

  #store(rows: CatalogRows): void {
    for (const tenant of rows.tenants) {
      if (tenant.deleted) this.#tenants.delete(key(tenant.name));
      else this.#tenants.set(key(tenant.name), tenant.name);
    }
    for (const { deleted, ...database } of rows.databases) {
      if (deleted) this.#databases.delete(key(database.tenant, database.name));
      else this.#databases.set(key(database.tenant, database.name), database);
    }
    this.#storeCollections(rows.collections);
    for (const { node, shard, view, ...physical } of rows.physical) {
      this.#storeCopy(node, shard, physical);
      if (physical.suspect !== null) this.#lastSuspicion.set(node, Math.max(view, this.lastSuspicion(node)));
    }
    this.#view = rows.view;
    this.#timeline = rows.timeline;
  }

  #storeCopy(node: string, shard: string, physical: ShardCopy): void {
    const suspicions = this.#suspect.get(node) ?? new Map<string, Suspicion>();
    const known = suspicions.get(shard);
    // The row may have been read before the copy was recorded as suspect. A copy never ceases to be suspect.
    const isKnown = known !== undefined && (known.physical ?? physical.physical) === physical.physical;
    const suspect = physical.suspect ?? (isKnown ? known.reason : null);
    if (suspect !== null && known === undefined) this.suspicions += 1;
    if (suspect === null) suspicions.delete(shard);
    else suspicions.set(shard, { reason: suspect, physical: physical.physical });
    this.#suspect.set(node, suspicions);
    const ofNode = this.#physical.get(node) ?? new Map<string, ShardCopy>();
    this.#physical.set(node, ofNode.set(shard, { ...physical, suspect }));
  }

  #storeCollections(rows: readonly CollectionRow[]): void {
    // First all old names are removed, then the new ones added: the rows of a chain of renames come in any order.
    for (const row of rows) {
      const old = this.#byId.get(row.id);
      if (old === undefined) continue;
      const name = key(old.tenant, old.database, old.name);
      if (this.#byName.get(name)?.id === old.id) this.#byName.delete(name);
      if (row.state === 'deleted') this.#remove(old);
    }
    for (const row of rows) {
      if (row.state === 'deleted') continue;
      const { id, tenant, database, name, state, createdLSN } = row;
      const shards = row.shards ?? [];
      const collection: Collection = { id, tenant, database, name, state, createdLSN, shards };
      this.#byId.set(id, collection);
      this.#byName.set(key(tenant, database, name), collection);
      for (const shard of shards) this.#collectionOf.set(shard.id, id);
    }
  }

  #remove(collection: Collection): void {
    this.#byId.delete(collection.id);
    for (const { id } of collection.shards) {
      this.#collectionOf.delete(id);
      for (const ofNode of this.#physical.values()) ofNode.delete(id);
    }
  }
}
