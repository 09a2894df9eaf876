// The handlers of tenants, databases and collections.

import type { Catalog, Collection } from '../../catalog/catalog.ts';
import { canonicalUuid } from '../../chroma/protocol/collection-id.ts';
import * as messages from '../../chroma/protocol/messages.ts';
import type { DatabaseName } from '../../chroma/protocol/paths.ts';
import type { Capabilities } from '../../chroma/protocol/capabilities.ts';
import { readTopLevel } from '../../chroma/parse/rewrite.ts';
import { refreshed } from './catalog-refresh.ts';
import type { RouteName } from './routes.ts';
import { invalidArgument, isRefusal } from '../../chroma/parse/refusal.ts';
import { PolychromeError } from '../../errors.ts';
import type { SchemaOperation } from '../../chroma/protocol/operation.ts';
import { jsonResponse, type HttpResponse } from '../../http/response.ts';
import { refusalResponse } from './error-responses.ts';
import type { BodyProbe } from './body-probe.ts';
import type { CollectionObjects } from './collection-objects.ts';
import { refuseReserved, type Names, type Params } from './resolve.ts';
import { mapKey } from '../../util/map-key.ts';
import { pageOf, type PageRange } from './paging.ts';
import {
  databaseNameFault,
  isOnlyUnstorable,
  modificationFault,
  refuseHazards,
  stringField,
  tenantNameFault,
} from './collection-bodies.ts';
import type { Handler } from '../../http/router.ts';
import type { CompletedWrite, RejectedWrite, Writer } from '../../write/writer.ts';

export interface SchemaRoutesOptions {
  readonly catalog: Catalog;
  readonly writer: Writer;
  readonly objects: CollectionObjects;
  readonly names: Names;
  readonly bodyProbe: BodyProbe;
  readonly capabilities: () => Capabilities;
  readonly newId: () => string;
  readonly allowReset: boolean;
}

const OK = jsonResponse({});
const CREATION = {
  name: 'struct CreateCollectionPayload',
  keys: ['get_or_create', 'metadata', 'configuration', 'schema'],
  types: { get_or_create: 'a boolean' },
} as const;
const MODIFICATION = {
  name: 'struct UpdateCollectionPayload',
  keys: ['new_name', 'new_metadata', 'new_configuration'],
} as const;
const NOT_A_UUID = 'Validation error: collection_id: Invalid collection ID format, expected UUID';

/** A server creates it when it starts, and again after a reset. */
const DEFAULT_DATABASE = {
  id: '00000000-0000-0000-0000-000000000000',
  tenant: 'default_tenant',
  database: 'default_database',
};

const place = ({ tenant = '', database = '' }: Params): DatabaseName => {
  refuseReserved(tenant);
  return { tenant, database };
};

export class SchemaRoutes {
  readonly #options: SchemaRoutesOptions;
  /** Databases being deleted. */
  readonly #dropping = new Map<string, Promise<void>>();

  constructor(options: SchemaRoutesOptions) {
    this.#options = options;
  }

  readonly createTenant: Handler = async ({ body }) => {
    const name = stringField(body, 'CreateTenantPayload', 'name');
    if (typeof name !== 'string') return refusalResponse(name);
    refuseReserved(name);
    refuseNul(name);
    const fault = tenantNameFault(name);
    if (fault !== null) return refusalResponse(fault);
    const result = await this.#write({ type: 'create_tenant', tenant: name });
    if ('s' in result) throw messages.tenantExists(name);
    return this.#decided(result, OK);
  };

  readonly getTenant: Handler = async ({ params }) => {
    const { tenant } = place(params);
    if (!this.#options.catalog.hasTenant(tenant)) throw messages.tenantMissing(tenant);
    return jsonResponse({ name: tenant, resource_name: null });
  };

  /** A single server accepts a resource name and ignores it; it does not even look for the tenant. */
  readonly updateTenant: Handler = async ({ params, body }) => {
    place(params);
    const name = stringField(body, 'UpdateTenantPayload', 'resource_name');
    return typeof name === 'string' ? OK : refusalResponse(name);
  };

  readonly createDatabase: Handler = async ({ params, body }) => {
    const { tenant } = place(params);
    const database = stringField(body, 'CreateDatabasePayload', 'name');
    if (typeof database !== 'string') return refusalResponse(database);
    refuseNul(tenant + database);
    const fault = databaseNameFault(database, this.#wording);
    if (fault !== null) return refusalResponse(fault);
    const result = await this.#write({
      type: 'create_database',
      id: this.#options.newId(),
      tenant,
      database,
    });
    if ('s' in result) throw messages.databaseExists(database);
    return this.#decided(result, OK);
  };

  readonly getDatabase: Handler = async ({ params }) => {
    const { tenant, database } = this.#options.names.place(params);
    const found = this.#options.catalog.database(tenant, database);
    if (found === null) throw messages.databaseNotFound(database);
    return jsonResponse({ id: found.id, name: found.name, tenant: found.tenant });
  };

  readonly listDatabases: Handler = async ({ params, query }) => {
    const { tenant } = place(params);
    const found = this.#options.catalog.databases(tenant);
    return jsonResponse(paged(found, pageOf(query)).map(({ id, name }) => ({ id, name, tenant })));
  };

  /** Deletes its collections first, one by one: each entry of the log is a single step. */
  readonly deleteDatabase: Handler = async ({ params }) => {
    const { tenant, database } = place(params);
    await this.#dropDatabase(tenant, database);
    return OK;
  };

  readonly createCollection: Handler = async ({ params, body }) => {
    const at = this.#options.names.place(params);
    const refusal = await this.#options.bodyProbe.refusalOfCreate(body);
    if (refusal !== null) return refusal;
    const fields = readTopLevel(body, CREATION.keys, CREATION);
    const name = stringField(body, 'CreateCollectionPayload', 'name');
    if (isRefusal(fields)) return refusalResponse(fields);
    if (typeof name !== 'string') return refusalResponse(name);
    refuseHazards(body, fields, this.#wording);
    // A database that is being deleted would otherwise never be empty under a stream of creates.
    await this.#dropping.get(keyOf(at))?.catch(() => undefined);
    const getOrCreate = fields.get('get_or_create');
    const id = this.#options.newId();
    const shard = this.#options.newId();
    const result = await this.#write({ type: 'create_collection', collection: id, shard, ...at, name, body });
    if (!('s' in result)) return this.#decided(result, null);
    if (result.s === 'no_database') throw messages.databaseMissingForCreate(at.database);
    if (getOrCreate?.type !== 'boolean' || !getOrCreate.value) throw messages.collectionExists(name);
    // The log has the collection; this copy of the catalog may not have it yet.
    if (this.#options.catalog.collectionNamed(at.tenant, at.database, name)?.state !== 'ready') {
      await refreshed(this.#options.catalog);
    }
    return this.#collectionObject(at, name);
  };

  readonly getCollection: Handler = async ({ params, signal }) => {
    const name = params['collection'] as string;
    return this.#collectionObject(this.#options.names.place(params), name, signal);
  };

  readonly getCollectionById: Handler = async ({ params, signal }) => {
    const { tenant, database } = this.#options.names.place(params);
    const id = canonicalUuid(params['collection'] as string);
    if (id === null) return refusalResponse(invalidArgument(NOT_A_UUID));
    const found = this.#options.catalog.collection(id);
    const visible = found?.state === 'ready' && found.tenant === tenant && found.database === database;
    const object = visible ? await this.#options.objects.one(found, signal) : null;
    if (object === null) throw messages.collectionIdMissing(id);
    return { status: 200, body: object };
  };

  readonly countCollections: Handler = async ({ params }) => {
    const { tenant, database } = this.#options.names.place(params);
    return jsonResponse(this.#options.catalog.collections(tenant, database).length);
  };

  readonly listCollections: Handler = async ({ params, query, signal }) => {
    const at = this.#options.names.place(params);
    const page = paged(this.#options.catalog.collections(at.tenant, at.database), pageOf(query));
    if (page.length === 0) return jsonResponse([]);
    const parts = await this.#options.objects.many(page, signal);
    return { status: 200, body: Buffer.concat([BRACKET_OPEN, ...joined(parts), BRACKET_CLOSE]) };
  };

  readonly modifyCollection: Handler = async ({ params, body }) => {
    if (!isOnlyUnstorable(body, this.#wording)) {
      const refusal = await this.#options.bodyProbe.refusalOf('modify', body);
      if (refusal !== null) return refusal;
    }
    const fields = readTopLevel(body, MODIFICATION.keys, MODIFICATION);
    if (isRefusal(fields)) return refusalResponse(fields);
    const collection = await this.#options.names.byId(params);
    const given = fields.get('new_name');
    const newName = given?.type === 'string' ? given.value : null;
    const fault = modificationFault(body, fields, this.#wording);
    if (fault !== null) return refusalResponse(fault);
    refuseHazards(body, fields, this.#wording);
    const shards = collection.shards.map((shard) => shard.id);
    const result = await this.#write({
      type: 'modify_collection',
      collection: collection.id,
      shards,
      newName,
      body,
    });
    if (!('s' in result)) return this.#decided(result, OK);
    if (result.s === 'exists') throw messages.collectionExists(newName ?? '');
    throw this.#options.names.missing(collection.id);
  };

  readonly deleteCollection: Handler = async ({ params }) => {
    const at = this.#options.names.place(params);
    const name = params['collection'] as string;
    for (;;) {
      const found = this.#options.catalog.collectionNamed(at.tenant, at.database, name);
      if (found === null || found.state === 'creating')
        throw messages.collectionNameMissing(this.#wording, name);
      const result = await this.#write(deletionOf(found));
      if (!('s' in result)) return OK;
      // The name was given to another collection, or freed, since the catalog was last read.
      await refreshed(this.#options.catalog);
      if (this.#options.catalog.collectionNamed(at.tenant, at.database, name)?.id === found.id) {
        throw messages.collectionNameMissing(this.#wording, name);
      }
    }
  };

  readonly reset: Handler = async () => {
    const { allowReset, catalog } = this.#options;
    if (!allowReset) throw new PolychromeError('reset_disabled', 'Reset is disabled by config');
    await refreshed(catalog);
    const { tenant: defaultTenant, database: defaultName } = DEFAULT_DATABASE;
    for (const { id, tenant, name } of catalog.everyDatabase()) {
      if (tenant === defaultTenant && name === defaultName && id === DEFAULT_DATABASE.id)
        await this.#dropCollections(tenant, name);
      else await this.#dropDatabase(tenant, name);
    }
    if (catalog.database(defaultTenant, defaultName)?.id !== DEFAULT_DATABASE.id)
      await this.#write({ type: 'create_database', ...DEFAULT_DATABASE });
    for (const tenant of catalog.tenants()) if (tenant !== defaultTenant) await this.#dropTenant(tenant);
    return jsonResponse(true);
  };

  get #wording(): messages.Wording {
    return { modern: this.#options.capabilities().deleteLimit };
  }

  #write(operation: SchemaOperation): Promise<CompletedWrite | RejectedWrite> {
    return this.#options.writer.write(operation, 'primary');
  }

  /** The response to a decided write: `response`, or the primary's own (null: always that). */
  #decided({ lsn, decision }: CompletedWrite, response: HttpResponse | null): HttpResponse {
    const headers = { 'content-type': 'application/json', 'x-polychrome-lsn': String(lsn) };
    if (decision !== null && (decision.outcome !== 'accepted' || response === null)) {
      return { status: decision.status, body: decision.body, headers };
    }
    return typeof response === 'object' && response !== null ? { ...response, headers } : OK;
  }

  async #collectionObject(at: DatabaseName, name: string, signal?: AbortSignal): Promise<HttpResponse> {
    const found = this.#options.catalog.collectionNamed(at.tenant, at.database, name);
    const object = found?.state === 'ready' ? await this.#options.objects.named(found, signal) : null;
    if (object === null) throw messages.collectionNameMissing(this.#wording, name);
    return { status: 200, body: object };
  }

  #dropDatabase(tenant: string, database: string): Promise<void> {
    const key = keyOf({ tenant, database });
    const dropped = this.#emptyAndDrop(tenant, database).finally(() => {
      if (this.#dropping.get(key) === dropped) this.#dropping.delete(key);
    });
    this.#dropping.set(key, dropped);
    return dropped;
  }

  async #emptyAndDrop(tenant: string, database: string): Promise<void> {
    for (;;) {
      await this.#dropCollections(tenant, database);
      const result = await this.#write({ type: 'delete_database', tenant, database });
      if (!('s' in result)) return;
      // A client may have created a collection in between: then once more.
      if (result.s !== 'not_empty') throw messages.databaseMissing(database);
      await refreshed(this.#options.catalog);
    }
  }

  /** A database that a client creates meanwhile keeps its tenant. */
  async #dropTenant(tenant: string): Promise<void> {
    const result = await this.#write({ type: 'delete_tenant', tenant });
    if ('s' in result) await refreshed(this.#options.catalog);
  }

  async #dropCollections(tenant: string, database: string): Promise<void> {
    const { catalog } = this.#options;
    await Promise.all(
      catalog.liveCollections(tenant, database).map((collection) => this.#write(deletionOf(collection))),
    );
  }
}

const keyOf = ({ tenant, database }: DatabaseName): string => mapKey(JSON.stringify([tenant, database]));

const BRACKET_OPEN = Buffer.from('[');
const BRACKET_CLOSE = Buffer.from(']');
const COMMA = Buffer.from(',');

function joined(parts: readonly Buffer[]): Buffer[] {
  return parts.flatMap((part, index) => (index === 0 ? [part] : [COMMA, part]));
}

function deletionOf(collection: Collection): SchemaOperation {
  const { id, tenant, database, name } = collection;
  const shards = collection.shards.map((shard) => shard.id);
  return { type: 'delete_collection', collection: id, shards, tenant, database, name };
}

function paged<T>(all: readonly T[], { limit, offset }: PageRange): readonly T[] {
  return all.slice(offset, limit === null ? undefined : offset + limit);
}

/** PostgreSQL's text type cannot hold the character NUL. */
function refuseNul(name: string): void {
  if (name.includes('\u0000')) {
    throw new PolychromeError('invalid_argument', 'A name must not contain the character NUL.');
  }
}

/** The handlers under the names of their routes. */
export function schemaRoutes(routes: SchemaRoutes) {
  return {
    create_tenant: routes.createTenant,
    get_tenant: routes.getTenant,
    update_tenant: routes.updateTenant,
    create_database: routes.createDatabase,
    get_database: routes.getDatabase,
    list_databases: routes.listDatabases,
    delete_database: routes.deleteDatabase,
    create_collection: routes.createCollection,
    get_collection: routes.getCollection,
    get_collection_by_id: routes.getCollectionById,
    list_collections: routes.listCollections,
    count_collections: routes.countCollections,
    modify_collection: routes.modifyCollection,
    delete_collection: routes.deleteCollection,
    reset: routes.reset,
  } satisfies Partial<Record<RouteName, Handler>>;
}
