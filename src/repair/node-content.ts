// Removes content from a node: the records of a collection, or every database of a tenant.

import { deleteByIdsBodies } from '../chroma/batch/merge.ts';
import { MARKER_COLLECTION } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { NodeError, NodeResponseError } from '../chroma/client/node-error.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import {
  deleteCollectionRequest,
  deleteDatabaseRequest,
  getRecordsRequest,
  listCollectionsRequest,
  listDatabasesRequest,
  recordsRequest,
  type NodeMutation,
  type NodeRead,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver } from '../coordination/term.ts';

export interface ContentRemoval {
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  /** Whether lists in metadata survive the deletion of their collection on these servers: it is emptied first then. */
  readonly leavesLists: boolean;
  readonly idsMax: number;
  /** False once nothing more may be sent: the term is over, or the removal has taken too long. */
  readonly held: () => boolean;
  /** Runs one of many steps; may rest after it, so that the node has time for others. */
  readonly paced: (step: () => Promise<void>) => Promise<void>;
}

const READ_DEADLINE_MS = 30_000;
const PAGE_IDS = 1_000;

/** I7: nothing is sent for a leader whose term is over. Throws TermOver. */
export function mutateWhileHeld(
  request: NodeMutation,
  { client, held }: Pick<ContentRemoval, 'client' | 'held'>,
): Promise<NodeResponse> {
  const beforeLast = (): void => {
    if (!held()) throw new TermOver();
  };
  return client.mutate({ ...request, beforeLast });
}

/** Deletes every record of a collection. Throws when the node does not respond as it must. */
export async function emptyCollection(shard: ShardLocation, options: ContentRemoval): Promise<void> {
  let before: string | null = null;
  for (;;) {
    const ids = await someIds(shard, options);
    const [first] = ids;
    if (first === undefined) return;
    if (first === before)
      throw new Error(`the records of ${shard.physical} stay although their deletion succeeds`);
    before = first;
    for (const body of deleteByIdsBodies(ids, options.idsMax))
      await options.paced(() => mutate(recordsRequest(shard, 'delete', [body]), options));
  }
}

/** Fewer where they are long. */
async function someIds(shard: ShardLocation, options: ContentRemoval): Promise<readonly string[]> {
  for (let limit = PAGE_IDS; ; limit = Math.ceil(limit / 2)) {
    try {
      const page = await read(getRecordsRequest(shard, { limit, include: [] }), options);
      return (page as { ids: string[] }).ids;
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== 'too_large' || limit === 1) throw error;
    }
  }
}

/** Deletes the databases of a tenant with their collections; the marker, if it is among them, last. */
export async function removeContent(tenant: string, options: ContentRemoval): Promise<void> {
  const databases = (await read(listDatabasesRequest(tenant), options)) as { name: string }[];
  for (const { name: database } of databases) {
    const place = { tenant, database };
    const listed = (await read(listCollectionsRequest(place), options)) as { id: string; name: string }[];
    const isMarker = ({ name }: { name: string }): boolean => name === MARKER_COLLECTION;
    const collections = [...listed.filter((each) => !isMarker(each)), ...listed.filter(isMarker)];
    for (const { id, name } of collections) {
      if (options.leavesLists) await emptyCollection({ ...place, physical: id }, options);
      await mutate(deleteCollectionRequest(place, name), options);
    }
    // A server creates its default database when it starts, and never again.
    if (database !== 'default_database') await mutate(deleteDatabaseRequest(place), options);
  }
}

async function read(request: NodeRead, { client }: ContentRemoval): Promise<unknown> {
  const { status, body } = await client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
  if (status !== 200)
    throw new NodeResponseError(`HTTP ${status} to a read of what is to be removed`, status);
  return JSON.parse(body.toString());
}

async function mutate(request: NodeMutation, options: ContentRemoval): Promise<void> {
  const response = await mutateWhileHeld(request, options);
  if (!isSuccess(response) && !isMissing(response))
    throw new NodeResponseError(`HTTP ${response.status} to ${request.operation}`, response.status);
}
