// The calls the applier and the repair make to a node, typed; and what their answers mean for the state of the node.
// Bodies are passed as bytes and come back as bytes (I11).

import type { NodeClient } from './node-client.ts';
import type { MutateRequest, NodeResponse } from './node-request.ts';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsPath,
  databasePath,
  databasesPath,
  recordsPath,
  tenantsPath,
  type DatabaseName,
} from '../protocol/paths.ts';
import type { RecordKind } from '../parse/record-call.ts';

/** What a node answered. */
export interface NodeAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** Passed on to the client's mutate(): the last look before a request becomes complete. */
export type BeforeLast = MutateRequest['beforeLast'];

/** Where the records of a shard lie on one node. */
export interface PhysicalShard extends DatabaseName {
  readonly physicalId: string;
}

/** Everything that changes a node. */
export type NodeOperation =
  | RecordKind
  | 'create_tenant'
  | 'create_database'
  | 'delete_database'
  | 'create_collection'
  | 'modify_collection'
  | 'delete_collection';

/** Creates a tenant; 409 when it exists. Throws NodeError, as all calls here do. */
export function createTenant(
  client: NodeClient,
  tenant: string,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'POST', tenantsPath, jsonBytes({ name: tenant }), beforeLast);
}

/** Creates a database; 409 when it exists, 200 also when its tenant does not. */
export function createDatabase(
  client: NodeClient,
  { tenant, database }: DatabaseName,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'POST', databasesPath(tenant), jsonBytes({ name: database }), beforeLast);
}

/** Drops a database with its collections; 404 when there is none. */
export function deleteDatabase(
  client: NodeClient,
  name: DatabaseName,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'DELETE', databasePath(name), undefined, beforeLast);
}

/**
 * Creates a collection with a body that says get_or_create; `physicalId` is the id this node gave it, null unless
 * the answer is 200.
 */
export async function createCollection(
  client: NodeClient,
  name: DatabaseName,
  body: Buffer,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer & { readonly physicalId: string | null }> {
  const answer = await mutate(client, 'POST', collectionsPath(name), body, beforeLast);
  return { ...answer, physicalId: collectionId(answer) };
}

/** Renames a collection, replaces its metadata or changes its configuration. */
export function modifyCollection(
  client: NodeClient,
  shard: PhysicalShard,
  body: Buffer,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'PUT', collectionByIdPath(shard, shard.physicalId), body, beforeLast);
}

/** Drops a collection, by its name: Chroma knows no other way. 404 when there is none. */
export function deleteCollectionByName(
  client: NodeClient,
  name: DatabaseName,
  collection: string,
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'DELETE', collectionByNamePath(name, collection), undefined, beforeLast);
}

/** Adds, upserts, updates or deletes records: 201 for add, 200 for the others. */
export function writeRecords(
  client: NodeClient,
  shard: PhysicalShard,
  kind: RecordKind,
  body: Buffer | readonly Buffer[],
  beforeLast?: BeforeLast,
): Promise<NodeAnswer> {
  return mutate(client, 'POST', recordsPath(shard, shard.physicalId, kind), body, beforeLast);
}

/** The collection of this name as the node shows it; `physicalId` is null unless the answer is 200. */
export async function getCollectionByName(
  client: NodeClient,
  name: DatabaseName,
  collection: string,
  deadlineMs: number,
): Promise<NodeAnswer & { readonly physicalId: string | null }> {
  const path = collectionByNamePath(name, collection);
  const { status, body } = await client.read({ method: 'GET', path, deadlineMs });
  return { status, body, physicalId: collectionId({ status, body }) };
}

/** How many records a shard holds; `count` is null unless the answer is 200. */
export async function countRecords(
  client: NodeClient,
  shard: PhysicalShard,
  deadlineMs: number,
): Promise<NodeAnswer & { readonly count: number | null }> {
  const path = recordsPath(shard, shard.physicalId, 'count');
  const { status, body } = await client.read({ method: 'GET', path, deadlineMs });
  const text = body.toString();
  return { status, body, count: status === 200 && /^\d{1,15}$/.test(text) ? Number(text) : null };
}

/** Which records to read, and what of them. */
export interface RecordSelection {
  /** At most 5,000: a server fails on more than 32,766 (docs/chroma-behaviour.md#order-and-scanning). */
  readonly ids?: readonly string[];
  readonly limit?: number;
  readonly offset?: number;
  readonly include: readonly ('embeddings' | 'documents' | 'metadatas' | 'uris')[];
}

/** Records in the order the node stored them, not in that of `ids`; missing ids are left out. */
export async function getRecords(
  client: NodeClient,
  shard: PhysicalShard,
  selection: RecordSelection,
  deadlineMs: number,
): Promise<NodeAnswer> {
  const path = recordsPath(shard, shard.physicalId, 'get');
  const answer = await client.read({ method: 'POST', path, body: jsonBytes(selection), deadlineMs });
  return { status: answer.status, body: answer.body };
}

// 400s a server gives before it has changed anything, by the beginning of their message. Records go through the
// checks named here first, then into the queue, and only then into the indexes (rust/frontend/src/impls/
// service_based_frontend.rs). Not in the list, though a 400: "Inconsistent number of IDs, embeddings, …", for a
// first add refused so has already fixed the collection's dimension; and "Failed to apply logs …", which comes after
// the queue has taken the records.
const RECORD_REFUSALS = [
  'Failed to parse the request body as JSON',
  'Validation error: ',
  'Collection ID is not a valid UUID',
  'Collection expecting embedding with dimension of ',
  'Inconsistent dimensions in provided embeddings',
  'Invalid where clause',
];

/**
 * True only for answers known to leave the node as it was: those mean that the node refuses the call. Everything else,
 * every 5xx included, may have had an effect: a server whose writes fail with 500 applies them after a restart.
 * 404 is free of effect too, but whether it is a refusal depends on who asks: for a deletion made again it means done.
 */
export function effectFree(operation: NodeOperation, status: number, body: Buffer): boolean {
  // Refused by the layers that read the request, before any of Chroma's own code. Their bodies vary.
  if (status === 405 || status === 413 || status === 415) return true;
  if (status === 404) return body.length === 0 || errorIn(body)?.error === 'NotFoundError';
  if (status === 422) return errorIn(body)?.message.startsWith('Failed to deserialize') === true;
  if (status !== 400 && status !== 409) return false;

  const refusal = errorIn(body);
  if (refusal === null) return false;
  if (status === 409) return isSchema(operation) && refusal.message.endsWith('already exists');
  if (refusal.error !== 'InvalidArgumentError') return false;
  // A schema operation is one sqlite transaction: refused, it is rolled back.
  return isSchema(operation) || RECORD_REFUSALS.some((start) => refusal.message.startsWith(start));
}

function isSchema(operation: NodeOperation): boolean {
  return (
    operation.startsWith('create_') || operation.endsWith('_collection') || operation === 'delete_database'
  );
}

function errorIn(body: Buffer): { error: string; message: string } | null {
  const value = parsed(body);
  if (typeof value !== 'object' || value === null || !('error' in value) || !('message' in value))
    return null;
  const { error, message } = value;
  return typeof error === 'string' && typeof message === 'string' ? { error, message } : null;
}

function collectionId({ status, body }: NodeAnswer): string | null {
  const value = status === 200 ? parsed(body) : null;
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : null;
  return typeof id === 'string' ? id : null;
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

function jsonBytes(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

async function mutate(
  client: NodeClient,
  method: MutateRequest['method'],
  path: string,
  body: MutateRequest['body'],
  beforeLast: BeforeLast,
): Promise<NodeAnswer> {
  const request = {
    method,
    path,
    ...(body === undefined ? {} : { body }),
    ...(beforeLast === undefined ? {} : { beforeLast }),
  };
  const answer: NodeResponse = await client.mutate(request);
  return { status: answer.status, body: answer.body };
}
