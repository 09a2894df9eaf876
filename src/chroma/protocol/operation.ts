// The mutations that entries of the log hold.

import type { RecordCall } from '../parse/record-call.ts';

export interface RecordOperation {
  readonly type: 'records';
  readonly shard: string;
  readonly call: RecordCall;
  /** Of the capabilities under which the call was validated; absent when it depends on none. */
  readonly revision?: number;
}

export type SchemaOperation =
  | {
      readonly type: 'create_collection';
      readonly collection: string;
      readonly shard: string;
      readonly tenant: string;
      readonly database: string;
      readonly name: string;
      readonly body: Buffer;
    }
  | {
      readonly type: 'modify_collection';
      readonly collection: string;
      readonly shards: readonly string[];
      readonly newName: string | null;
      readonly body: Buffer;
    }
  | {
      readonly type: 'delete_collection';
      readonly collection: string;
      readonly shards: readonly string[];
      readonly tenant: string;
      readonly database: string;
      readonly name: string;
    }
  | { readonly type: 'create_tenant'; readonly tenant: string }
  /** In the catalog only: servers cannot delete tenants. */
  | { readonly type: 'delete_tenant'; readonly tenant: string }
  /** Nothing changes: says where the content of a server was adopted, or where entries were that the log has lost. */
  | { readonly type: 'note'; readonly note: string }
  | {
      readonly type: 'create_database';
      readonly id: string;
      readonly tenant: string;
      readonly database: string;
    }
  | { readonly type: 'delete_database'; readonly tenant: string; readonly database: string };

/** A schema operation that nodes execute. */
export type NodeSchemaOperation = Exclude<SchemaOperation, { type: 'delete_tenant' | 'note' }>;

export type Operation = RecordOperation | SchemaOperation;

/** Whether the primary must decide before other nodes apply the operation (I5). */
export function needsDecision(operation: Operation): boolean {
  switch (operation.type) {
    case 'records':
      return operation.call.conditional;
    case 'create_collection':
    case 'modify_collection':
    case 'create_tenant':
    case 'create_database':
      return true;
    case 'delete_collection':
    case 'delete_tenant':
    case 'delete_database':
    case 'note':
      return false;
  }
}
