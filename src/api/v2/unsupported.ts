// The handlers of routes that only distributed Chroma serves. A single server refuses them after it has parsed the body
// and found the collection; these handlers do the same with its messages (observed on 1.0.5 and 1.3.4). Mutations never
// reach a node; a search does, so that it works as soon as servers support it.

import { onlyShard } from '../../catalog/only-shard.ts';
import { canonicalUuid, NOT_A_COLLECTION_ID } from '../../chroma/protocol/collection-id.ts';
import { recordsPath } from '../../chroma/protocol/paths.ts';
import { invalidArgument, isRefusal, shapeRefusal, type Refusal } from '../../chroma/parse/refusal.ts';
import type { Capabilities } from '../../chroma/protocol/capabilities.ts';
import { readTopLevel } from '../../chroma/parse/rewrite.ts';
import type { RouteName } from './routes.ts';
import { PolychromeError } from '../../errors.ts';
import type { WholeResponse } from '../../http/response.ts';
import { errorResponse, refusalResponse } from './error-responses.ts';
import type { SessionFloors } from '../../read/session-floors.ts';
import { refuseReserved, type Names, type Params } from './resolve.ts';
import type { Reader } from '../../read/reader.ts';
import { stringField, stringFields } from './collection-bodies.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';

export interface UnsupportedRoutesOptions {
  readonly names: Names;
  readonly reader: Reader;
  readonly floors: SessionFloors;
  readonly capabilities: () => Capabilities;
}

const FORK = unsupported('Collection forking is unsupported for local chroma');
const FORK_COUNT = unsupported('Count forks is unsupported for local chroma');
const INDEXING_STATUS = errorResponse(500, 'InternalError', 'Method scout_logs is not implemented');
const ATTACH = unsupported(
  tonic(
    'Operation is not implemented or not supported',
    ' Attached Function operations not yet implemented in SqliteSysDb',
  ),
);
const DETACH = unsupported(tonic('Operation is not implemented or not supported', 'Not implemented'));
const NO_FUNCTION = errorResponse(404, 'NotFoundError', 'Attached function not found');
const MULTI_REGION = refusalResponse(
  invalidArgument('multi-region databases do not support attached functions'),
);
const NOT_A_CRN = refusalResponse(
  invalidArgument(
    'Validation error: crn: CRN must be in the format <tenant_resource_name>:<database_name>:<collection_name> with non-empty parts',
  ),
);

/** The handlers under the names of their routes. */
export function unsupportedRoutes(options: UnsupportedRoutesOptions): Partial<Record<RouteName, Handler>> {
  const { names, capabilities } = options;
  return {
    fork: async ({ params, body }) => {
      const name = stringField(body, 'ForkCollectionPayload', 'new_name');
      if (typeof name !== 'string') return refusalResponse(name);
      // 1.0.5 refuses before it looks for the collection.
      if (capabilities().schema) await names.byId(params);
      else idOf(params);
      return FORK;
    },
    fork_count: async ({ params }) => {
      await names.byId(params);
      return FORK_COUNT;
    },
    indexing_status: async ({ params }) => {
      await names.byId(params);
      return INDEXING_STATUS;
    },
    attach_function: async ({ params, body }) => {
      const read = stringFields(body, 'AttachFunctionRequest', ['name', 'function_id', 'output_collection']);
      if (isRefusal(read)) return refusalResponse(read);
      return functionFault(names, params, 'Tonic error') ?? ATTACH;
    },
    get_function: async ({ params }) => {
      return functionFault(names, params, 'Failed to get attached function') ?? NO_FUNCTION;
    },
    detach_function: async ({ params, body }) => {
      const fault = detachFault(body);
      if (fault !== null) return refusalResponse(fault);
      return functionFault(names, params, 'Tonic error') ?? DETACH;
    },
    // A server that is asked for a well-formed one drops the connection (docs/chroma-behaviour.md#requests-without-a-response).
    get_collection_by_crn: async ({ params }) => {
      const parts = (params['crn'] ?? '').split(':');
      if (parts.length !== 3 || parts.includes('')) return NOT_A_CRN;
      throw new PolychromeError(
        'unsupported',
        'Collections have no resource names here. Ask for them by name.',
      );
    },
    search: (request) => search(options, request),
  };
}

async function search(
  { names, reader, floors }: UnsupportedRoutesOptions,
  { params, body, signal }: ClientRequest,
) {
  const fields = readTopLevel(body, ['searches'], { name: 'struct SearchRequestPayload' });
  if (isRefusal(fields)) return refusalResponse(fields);
  if (!fields.has('searches')) {
    return refusalResponse(shapeRefusal(body, body.length, 'missing field `searches`'));
  }
  const collection = await names.byId(params);
  const { id: shard } = onlyShard(collection);
  const path = (physical: string): string => recordsPath(collection, physical, 'search');
  return reader.read(
    { shard, floor: floors.shard(shard), sticky: false },
    { method: 'POST', path, body },
    signal,
  );
}

function detachFault(body: Buffer): Refusal | null {
  const fields = readTopLevel(body, ['delete_output'], {
    name: 'struct DetachFunctionRequest',
    types: { delete_output: 'a boolean' },
  });
  return isRefusal(fields) ? fields : null;
}

function idOf({ tenant = '', collection = '' }: Params): string {
  refuseReserved(tenant);
  const id = canonicalUuid(collection);
  if (id === null) throw new PolychromeError('invalid_argument', NOT_A_COLLECTION_ID);
  return id;
}

/** The refusal of invalid names by the functions' routes, which do not check that the collection exists. */
function functionFault(names: Names, params: Params, prefix: string): WholeResponse | null {
  const { database } = names.place(params);
  if (database.includes('+')) return MULTI_REGION;
  const { collection = '' } = params;
  if (canonicalUuid(collection) !== null) return null;
  const at = collection.search(/[^0-9a-f-]/i);
  const fault =
    at < 0
      ? `invalid length: expected length 32 for simple format, found ${collection.length}`
      : `invalid character: expected an optional prefix of \`urn:uuid:\` followed by [0-9a-fA-F-], found \`${collection[at]}\` at ${at + 1}`;
  const message = `Client validation error: Invalid collection_id UUID format: ${fault}`;
  return refusalResponse(invalidArgument(tonic('Client specified an invalid argument', message, prefix)));
}

/** An error of the servers' gRPC layer, as they format it. */
function tonic(code: string, message: string, prefix = 'Tonic error'): string {
  return `${prefix}: code: '${code}', message: ${JSON.stringify(message)}`;
}

function unsupported(message: string): WholeResponse {
  return errorResponse(501, 'ChromaError', message);
}
