// The request for a schema change on a node, and the status that means it was applied before.

import { onlyShard } from '../catalog/only-shard.ts';
import {
  createCollectionRequest,
  createDatabaseRequest,
  createTenantRequest,
  deleteDatabaseRequest,
  modifyCollectionRequest,
  type NodeMutation,
} from '../chroma/protocol/node-requests.ts';
import type { NodeSchemaOperation } from '../chroma/protocol/operation.ts';
import { withGetOrCreate } from '../chroma/parse/rewrite.ts';
import type { AssignedShard } from './checkpoints.ts';

export interface SchemaRequest {
  readonly request: NodeMutation;
  /** Status of a repeated request whose first attempt succeeded; null when there is none. */
  readonly alreadyDone: number | null;
}

/** The request for a schema change, except a deletion (collection-removal.ts), on the node to which `assigned` are assigned. */
export function schemaRequest(
  operation: Exclude<NodeSchemaOperation, { type: 'delete_collection' }>,
  assigned: ReadonlyMap<string, AssignedShard>,
): SchemaRequest {
  switch (operation.type) {
    case 'create_collection': {
      // Not get_or_create: it would return any collection of that name, whatever its configuration.
      const body = withGetOrCreate(operation.body, false);
      return { request: createCollectionRequest(operation, body), alreadyDone: null };
    }
    case 'modify_collection': {
      const target = assigned.get(onlyShard(operation));
      if (target === undefined)
        throw new Error(`This node has no shard of collection ${operation.collection}`);
      return { request: modifyCollectionRequest(target, operation.body), alreadyDone: null };
    }
    case 'create_tenant':
      return { request: createTenantRequest(operation.tenant), alreadyDone: 409 };
    case 'create_database':
      return { request: createDatabaseRequest(operation), alreadyDone: 409 };
    case 'delete_database':
      return { request: deleteDatabaseRequest(operation), alreadyDone: 404 };
  }
}
