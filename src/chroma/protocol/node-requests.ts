// Encodes every request that is made to a node: method, path and body.

import type { RecordKind } from '../parse/record-call.ts';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsCountPath,
  collectionsPath,
  databasePath,
  databasesPath,
  recordsPath,
  tenantsPath,
  type DatabaseName,
} from './paths.ts';

/** Where the records of a shard are on one node. */
export interface ShardLocation extends DatabaseName {
  /** The id that the node gave the shard's collection. */
  readonly physical: string;
}

/** The operations that change a node. */
export type NodeOperation =
  | RecordKind
  | 'create_tenant'
  | 'create_database'
  | 'delete_database'
  | 'create_collection'
  | 'modify_collection'
  | 'delete_collection';

/** A body; its parts are sent one after the other. */
type Body = Buffer | readonly Buffer[];

export function bytesIn(body: Body = []): number {
  return Buffer.isBuffer(body) ? body.length : body.reduce((sum, part) => sum + part.length, 0);
}

/** A request that changes nothing. */
export interface NodeRead {
  /** PUT only with a body that the server rejects (api/v2/body-probe.ts). */
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly body?: Body;
}

/** A request that changes the node. */
export interface NodeMutation {
  readonly operation: NodeOperation;
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: Body;
}

/** 409 when the tenant exists. */
export function createTenantRequest(tenant: string): NodeMutation {
  return { operation: 'create_tenant', method: 'POST', path: tenantsPath, body: json({ name: tenant }) };
}

/** 409 when the database exists; 200 also when its tenant does not. */
export function createDatabaseRequest({ tenant, database }: DatabaseName): NodeMutation {
  const body = json({ name: database });
  return { operation: 'create_database', method: 'POST', path: databasesPath(tenant), body };
}

/** Deletes a database with its collections; 404 when it does not exist. */
export function deleteDatabaseRequest(name: DatabaseName): NodeMutation {
  return { operation: 'delete_database', method: 'DELETE', path: databasePath(name) };
}

/** The body names the collection; the response holds the id that the node gave it (collectionIdIn). */
export function createCollectionRequest(name: DatabaseName, body: Body): NodeMutation {
  return { operation: 'create_collection', method: 'POST', path: collectionsPath(name), body };
}

/** Renames a collection, replaces its metadata or changes its configuration. */
export function modifyCollectionRequest(shard: ShardLocation, body: Body): NodeMutation {
  const path = collectionByIdPath(shard, shard.physical);
  return { operation: 'modify_collection', method: 'PUT', path, body };
}

/** Deletes a collection by name, the only way Chroma has; 404 when it does not exist. */
export function deleteCollectionRequest(name: DatabaseName, collection: string): NodeMutation {
  const path = collectionByNamePath(name, collection);
  return { operation: 'delete_collection', method: 'DELETE', path };
}

/** 201 for add, 200 for upsert, update and delete. */
export function recordsRequest(shard: ShardLocation, kind: RecordKind, body: Body): NodeMutation {
  return { operation: kind, method: 'POST', path: recordsPath(shard, shard.physical, kind), body };
}

export function databaseRequest(name: DatabaseName): NodeRead {
  return { method: 'GET', path: databasePath(name) };
}

export function listDatabasesRequest(tenant: string): NodeRead {
  return { method: 'GET', path: databasesPath(tenant) };
}

export function listCollectionsRequest(name: DatabaseName): NodeRead {
  return { method: 'GET', path: collectionsPath(name) };
}

/** How many collections a database holds. */
export function countCollectionsRequest(name: DatabaseName): NodeRead {
  return { method: 'GET', path: collectionsCountPath(name) };
}

export function collectionRequest(name: DatabaseName, collection: string): NodeRead {
  return { method: 'GET', path: collectionByNamePath(name, collection) };
}

/** How many records a shard holds. */
export function countRecordsRequest(shard: ShardLocation): NodeRead {
  return { method: 'GET', path: recordsPath(shard, shard.physical, 'count') };
}

/** A filter by document. */
export type DocumentClause = { readonly $contains: string } | { readonly $not_contains: string };

/** Which records to read, and which of their columns. */
export interface RecordSelection {
  /** At most 5,000: a server fails with more than 32,766 (docs/chroma-behaviour.md#order-and-scanning). */
  readonly ids?: readonly string[];
  readonly limit?: number;
  readonly offset?: number;
  readonly where_document?: DocumentClause;
  readonly include: readonly ('embeddings' | 'documents' | 'metadatas' | 'uris')[];
}

/** The records come in the order in which the node stored them, not in that of `ids`; missing ids are left out. */
export function getRecordsRequest(shard: ShardLocation, selection: RecordSelection | Buffer): NodeRead {
  const body = Buffer.isBuffer(selection) ? selection : json(selection);
  return { method: 'POST', path: recordsPath(shard, shard.physical, 'get'), body };
}

/** A search by vectors. */
export interface VectorQuery {
  readonly query_embeddings: readonly (readonly number[])[];
  readonly n_results: number;
  readonly include: readonly 'distances'[];
}

export function queryRecordsRequest(shard: ShardLocation, query: VectorQuery): NodeRead {
  return { method: 'POST', path: recordsPath(shard, shard.physical, 'query'), body: json(query) };
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
