// The marker: the identity and progress that a node stores, as metadata of a collection in the reserved tenant. Chroma
// keeps metadata in the same sqlite file as records and commits in order, so a marker that survives a power cut proves
// that everything applied before it survived too.

import { z } from 'zod';
import {
  MARKER_COLLECTION,
  RESERVED,
  sameIdentity,
  storedMarkerIn,
  type Marker,
  type StoredMarker,
} from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { isServerError, NodeResponseError } from '../chroma/client/node-error.ts';
import {
  collectionRequest,
  countCollectionsRequest,
  createCollectionRequest,
  createDatabaseRequest,
  createTenantRequest,
  listDatabasesRequest,
  modifyCollectionRequest,
} from '../chroma/protocol/node-requests.ts';
import type { ChromaResponse } from '../chroma/protocol/response-effect.ts';

/** A node responded with something that the marker protocol does not allow. */
export class MarkerError extends NodeResponseError {
  override readonly name = 'MarkerError';
}

/** Reads the marker; null when the node has none. Throws NodeError, MarkerError. */
export async function readMarker(
  client: NodeClient,
  deadlineMs: number,
  signal?: AbortSignal,
): Promise<StoredMarker | null> {
  const limit = signal === undefined ? {} : { signal };
  const response = await client.read({
    ...collectionRequest(RESERVED, MARKER_COLLECTION),
    deadlineMs,
    ...limit,
  });
  if (response.status === 404) return null;
  return storedMarkerIn(expectStatus(response, [200], 'reading the marker').body);
}

/** Replaces the whole marker in one call. Throws NodeError, MarkerError. */
export async function writeMarker(client: NodeClient, physicalId: string, marker: Marker): Promise<void> {
  const body = Buffer.from(JSON.stringify({ new_metadata: metadataOf(marker) }));
  const response = await client.mutate(modifyCollectionRequest({ ...RESERVED, physical: physicalId }, body));
  expectStatus(response, [200], 'writing the marker');
}

/**
 * Gives a node its marker and returns the id its collection has there. May be repeated. A marker of another identity
 * is not overwritten but reported. Throws NodeError, MarkerError.
 */
export async function installMarker(client: NodeClient, marker: Marker): Promise<string> {
  const tenant = await client.mutate(createTenantRequest(RESERVED.tenant));
  expectStatus(tenant, [200, 409], 'creating the reserved tenant');
  const database = await client.mutate(createDatabaseRequest(RESERVED));
  expectStatus(database, [200, 409], 'creating the reserved database');
  const collection = { name: MARKER_COLLECTION, metadata: metadataOf(marker), get_or_create: true };
  const body = Buffer.from(JSON.stringify(collection));
  const created = await client.mutate(createCollectionRequest(RESERVED, body));

  // get_or_create returns the collection that was there before, if there was one.
  const stored = storedMarkerIn(expectStatus(created, [200], 'creating the marker').body);
  if (stored === null) throw new MarkerError('the marker collection exists but names no node');
  if (!sameIdentity(stored.marker, marker)) {
    const { cluster, node, incarnation } = stored.marker;
    throw new MarkerError(`the node already has a marker: ${cluster}/${node}/${incarnation}`);
  }
  return stored.physicalId;
}

/** What a server holds before it joins. */
export interface NodeContents {
  readonly marker: Marker | null;
  /** Databases of the default tenant. Other tenants cannot be listed (Chroma has no route for it). */
  readonly databases: readonly string[];
  /** Collections in these databases. */
  readonly collections: number;
  /** No marker, no collection, no database but the default one: safe to take over. */
  readonly blank: boolean;
}

/** What a server holds; null when it does not respond. Throws when it responds that it cannot work. */
export async function contentsIfReachable(
  client: NodeClient,
  deadlineMs: number,
): Promise<NodeContents | null> {
  try {
    return await inspectNode(client, deadlineMs);
  } catch (error) {
    if (isServerError(error)) throw error;
    return null;
  }
}

/** Lists what a server holds, so that one with data is not taken over as a node. Throws NodeError, MarkerError. */
export async function inspectNode(client: NodeClient, deadlineMs: number): Promise<NodeContents> {
  const tenant = 'default_tenant';
  const marker = (await readMarker(client, deadlineMs))?.marker ?? null;
  const listed = await client.read({ ...listDatabasesRequest(tenant), deadlineMs });
  const body = expectStatus(listed, [200], 'listing databases').body.toString();
  const databases = z
    .array(z.object({ name: z.string() }))
    .parse(JSON.parse(body))
    .map((database) => database.name);

  let collections = 0;
  for (const database of databases) {
    const count = await client.read({ ...countCollectionsRequest({ tenant, database }), deadlineMs });
    collections += Number(expectStatus(count, [200], 'counting collections').body.toString());
  }
  const onlyDefault = databases.every((database) => database === 'default_database');
  return { marker, databases, collections, blank: marker === null && collections === 0 && onlyDefault };
}

function metadataOf(marker: Marker): Record<string, string | number> {
  const { cluster, node, incarnation, progress, ...numbers } = marker;
  if (progress !== null && !Number.isSafeInteger(progress.checkpoint)) {
    throw new RangeError('a checkpoint is a whole number');
  }
  const known = Object.entries(numbers).filter(([, number]) => number !== 0);
  return { cluster, node, incarnation, ...progress, ...Object.fromEntries(known) };
}

function expectStatus<Response extends ChromaResponse>(
  response: Response,
  statuses: readonly number[],
  doing: string,
): Response {
  if (statuses.includes(response.status)) return response;
  const detail = response.body.toString('utf8', 0, 300);
  throw new MarkerError(`${doing} failed with status ${response.status}: ${detail}`, response.status);
}
