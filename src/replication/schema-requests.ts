// The calls that carry schema changes to a node, and the responses by which each is known to be done.

import { onlyShard } from '../catalog/only-shard.ts';
import { effectFree } from '../chroma/client/node-api.ts';
import type { NodeOperation } from '../chroma/protocol/node-requests.ts';
import type { MutateRequest, NodeResponse } from '../chroma/client/node-request.ts';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsPath,
  databasePath,
  databasesPath,
  recordsPath,
  tenantsPath,
} from '../chroma/protocol/paths.ts';
import type { RecordKind } from '../chroma/parse/record-call.ts';
import { withGetOrCreate } from '../chroma/parse/rewrite.ts';
import type { HeldShard } from './checkpoints.ts';
import type { NodeSchemaOperation } from '../chroma/protocol/operation.ts';

export interface SchemaRequest {
  readonly request: Omit<MutateRequest, 'beforeLast'>;
  readonly effect: NodeOperation;
  /** The status by which a repetition is told that the first time had its effect. */
  readonly alreadyDone: number | null;
}

const named = (name: string): Buffer => Buffer.from(JSON.stringify({ name }));

/** The call for a schema change on the node that holds `held`. */
export function schemaRequest(
  operation: NodeSchemaOperation,
  held: ReadonlyMap<string, HeldShard>,
): SchemaRequest {
  switch (operation.type) {
    case 'create_collection': {
      // Not get_or_create: it would answer with whatever stands under that name, whatever its configuration.
      const body = withGetOrCreate(operation.body, false);
      const request = { method: 'POST', path: collectionsPath(operation), body } as const;
      return { request, effect: 'create_collection', alreadyDone: null };
    }
    case 'modify_collection': {
      const target = held.get(onlyShard(operation));
      if (target === undefined)
        throw new Error(`This node has no shard of collection ${operation.collection}`);
      const request = {
        method: 'PUT',
        path: collectionByIdPath(target, target.physical),
        body: operation.body,
      } as const;
      return { request, effect: 'modify_collection', alreadyDone: null };
    }
    case 'delete_collection': {
      const path = collectionByNamePath(operation, operation.name);
      return { request: { method: 'DELETE', path }, effect: 'delete_collection', alreadyDone: 404 };
    }
    case 'create_tenant': {
      const request = { method: 'POST', path: tenantsPath, body: named(operation.tenant) } as const;
      return { request, effect: 'create_tenant', alreadyDone: 409 };
    }
    case 'create_database': {
      const path = databasesPath(operation.tenant);
      const request = { method: 'POST', path, body: named(operation.database) } as const;
      return { request, effect: 'create_database', alreadyDone: 409 };
    }
    case 'delete_database': {
      const request = { method: 'DELETE', path: databasePath(operation) } as const;
      return { request, effect: 'delete_database', alreadyDone: 404 };
    }
  }
}

/** The call that writes records to a shard of a node. */
export function recordsRequest(
  shard: HeldShard,
  kind: RecordKind,
  body: readonly Buffer[],
): Omit<MutateRequest, 'beforeLast'> {
  return { method: 'POST', path: recordsPath(shard, shard.physical, kind), body };
}

export const isSuccess = ({ status }: Pick<NodeResponse, 'status'>): boolean => status >= 200 && status < 300;

/** Chroma's own 404: the collection does not exist. */
export function isMissing({ status, body }: Pick<NodeResponse, 'status' | 'body'>): boolean {
  return status === 404 && effectFree('delete', status, body);
}
