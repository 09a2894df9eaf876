// The intended differences between the responses of Polychrome and of a bare server, each with its reason and a narrow
// predicate. Any other difference is a failure. docs/compatibility.md lists them for users.

import { isDeepStrictEqual } from 'node:util';
import { columnNumbers, FLOAT32_LIMIT } from './body-numbers.ts';
import type { EndpointResponse } from './endpoint.ts';
import type { History } from './history.ts';
import { type Operation, placeOf } from './operation.ts';

/** An operation and what came of it. */
export interface Exchange {
  readonly operation: Operation;
  readonly history: History;
  /** Polychrome's answer. */
  readonly a: EndpointResponse;
  /** The bare server's. */
  readonly b: EndpointResponse;
}

interface Named {
  readonly name: string;
  readonly reason: string;
}

/** The bare server took, or would take, another way, after which the two would never meet again: so it is not asked. */
export interface SparedDifference extends Named {
  applies(exchange: Omit<Exchange, 'b'>): boolean;
}

/** Both are asked, and stay as they were or become the same. */
export interface AnswerDifference extends Named {
  applies(exchange: Exchange): boolean;
}

interface ErrorBody {
  readonly error: string;
  readonly message: string;
}

function errorOf(response: EndpointResponse): ErrorBody {
  try {
    const { error, message } = JSON.parse(response.body.toString()) as Partial<ErrorBody>;
    return { error: String(error), message: String(message) };
  } catch {
    return { error: '', message: '' };
  }
}

const isRecordWrite = (operation: Operation): boolean =>
  operation.method === 'POST' && ['add', 'upsert', 'update'].includes(placeOf(operation.path).call ?? '');

/** Refused as a bad request in Polychrome's own words. */
function refuses(response: EndpointResponse, message: string): boolean {
  const { error, message: said } = errorOf(response);
  return response.status === 400 && error === 'InvalidArgumentError' && said.startsWith(message);
}

const RESERVED = 'polychrome';

function namesReservedTenant({ method, path, body }: Operation): boolean {
  if (placeOf(path).tenant === RESERVED) return true;
  return method === 'POST' && path === '/api/v2/tenants' && /"name"\s*:\s*"polychrome"/.test(body ?? '');
}

/** The collection a path refers to by id lives in another database than the path names. */
function isForeign({ operation, history, a }: Omit<Exchange, 'b'>): boolean {
  const known = history.referred(operation);
  const { tenant, database } = placeOf(operation.path.replaceAll('{tenant}', history.tenant));
  if (known === undefined || (known.tenant === tenant && known.database === database)) return false;
  const { error, message } = errorOf(a);
  return (
    a.status === 404 &&
    error === 'NotFoundError' &&
    message.startsWith(`Collection [${known.ids.a}] does not exist`)
  );
}

// Of two arrays, or of an array and a string, the inner one is empty.
function hasEmptyEmbedding(json: string): boolean {
  return /"embeddings"\s*:\s*\[(?:\s*(?:null|"[^"]*"|\[[^\]]*\])\s*,)*\s*(?:""|\[\s*\])/.test(json);
}

/** Creates or modifies a collection. */
function isSchemaCall({ method, path }: Operation): boolean {
  if (method === 'PUT') return placeOf(path).collection !== null && placeOf(path).call === null;
  return method === 'POST' && path.endsWith('/collections');
}

export const SPARED_DIFFERENCES: readonly SparedDifference[] = [
  {
    name: 'reserved tenant',
    reason: 'The tenant `polychrome` holds the markers and canaries of the nodes; clients are refused.',
    applies: ({ operation, a }) =>
      a.status === 403 &&
      errorOf(a).message === `Tenant [${RESERVED}] is reserved for Polychrome itself.` &&
      namesReservedTenant(operation),
  },
  {
    name: 'collection of another database',
    reason: 'A bare server serves a collection by its id under any tenant and database; Polychrome says 404.',
    applies: isForeign,
  },
  {
    name: 'chroma: metadata key',
    reason:
      'A value under `chroma:document` that is no string ends the log reader of a bare server for good.',
    applies: ({ operation, a }) =>
      isRecordWrite(operation) &&
      refuses(a, "Metadata key cannot start with 'chroma:'") &&
      /"(?:c|\\u0063)hroma:/.test(operation.body ?? ''),
  },
  {
    name: 'embedding beyond 32-bit floats',
    reason: 'A bare server of 1.0.x stores infinity, and reads it back as null.',
    applies: ({ operation, a }) =>
      isRecordWrite(operation) &&
      refuses(a, 'Validation error: embeddings: Embeddings must not contain NaN or Infinity values') &&
      columnNumbers(operation.body ?? '', 'embeddings').some(
        (text) => Math.abs(Number(text)) >= FLOAT32_LIMIT,
      ),
  },
  {
    name: 'metadata integer beyond 64 bits',
    reason: 'A bare server keeps the nearest double instead of the integer, without a word.',
    applies: ({ operation, a }) =>
      isRecordWrite(operation) &&
      refuses(a, 'Metadata integers must be within signed 64 bits') &&
      columnNumbers(operation.body ?? '', 'metadatas').some(
        (text) => /^-?\d+$/.test(text) && BigInt(text) !== BigInt.asIntN(64, BigInt(text)),
      ),
  },
  {
    name: 'empty embedding in an update',
    reason: 'On releases of 1.0.x an update with it makes the collection unreadable for good.',
    applies: ({ operation, a }) =>
      placeOf(operation.path).call === 'update' &&
      refuses(a, 'Validation error: embeddings: Each embedding must have at least 1 dimension') &&
      hasEmptyEmbedding(operation.body ?? ''),
  },
  {
    name: 'fields in an array',
    reason:
      'The Rust parser also takes an object as an array of its fields in their order. That order changes with the release, and with it what such a body in the log would mean; no client sends it.',
    applies: ({ operation, a }) =>
      operation.method !== 'GET' &&
      // These the Rust parser takes as objects only.
      !['delete', 'get', 'query'].includes(placeOf(operation.path).call ?? '') &&
      a.status === 422 &&
      /^Failed to deserialize the JSON body into the target type: invalid type: sequence, expected struct \w+ at /.test(
        errorOf(a).message,
      ) &&
      /^\s*\[/.test(operation.body ?? ''),
  },
  {
    name: 'collection that ends servers',
    reason:
      'A server takes an index of no neighbors, and ends, process and all, with the first records; of one, or of very many, it may never answer to them. Polychrome takes 2 to 10,000.',
    applies: ({ operation, a }) =>
      isSchemaCall(operation) &&
      refuses(a, 'max_neighbors must be from 2 to 10000: ') &&
      /"(?:max_neighbors|hnsw:M)"\s*:\s*(?:[01]|[1-9]\d{4,})\b/.test(operation.body ?? ''),
  },
  {
    name: 'delete with limit',
    reason:
      'Releases before 1.3 ignore `limit` and delete everything that matches; Polychrome refuses it there.',
    applies: ({ operation, a }) =>
      operation.method === 'POST' &&
      placeOf(operation.path).call === 'delete' &&
      refuses(a, 'limit is not supported: a server of this cluster would ignore it') &&
      /"limit"\s*:(?!\s*null)/.test(operation.body ?? ''),
  },
];

const isNameInUse = (response: EndpointResponse): boolean =>
  response.status === 409 && /^Collection \[.*\] already exists$/.test(errorOf(response).message);

// An error message that ends with the metadata key of the fault.
const KEYED =
  /^(Validation error: (?:new_)?metadata: Metadata key cannot start with '#' or '\$': |Unimplemented: Sparse vector is not supported for local chroma: )(.*)$/s;

function faultOfKey(response: EndpointResponse, { body }: Operation): string | null {
  const [, fault, key] = KEYED.exec(errorOf(response).message) ?? [];
  if (fault === undefined || key === undefined) return null;
  return body?.includes(`${JSON.stringify(key)}:`) === true ? fault : null;
}

interface Rows {
  readonly ids: readonly string[];
  readonly embeddings?: readonly unknown[] | null;
}

/** The two answers to a get are the same but for embeddings of ids that were updated before they were stored. */
function differsInEarlyEmbeddings({ operation, history, a, b }: Exchange): boolean {
  if (placeOf(operation.path).call !== 'get' || a.status !== 200 || b.status !== 200) return false;
  const [ours, theirs] = [a, b].map(({ body }) => JSON.parse(body.toString()) as Rows) as [Rows, Rows];
  if (ours.embeddings == null || theirs.embeddings?.length !== ours.embeddings.length) return false;
  const rest = (rows: Rows): unknown => ({ ...rows, embeddings: null });
  const differing = ours.ids.filter(
    (_id, row) => !isDeepStrictEqual(ours.embeddings?.[row], theirs.embeddings?.[row]),
  );
  return (
    isDeepStrictEqual(rest(ours), rest(theirs)) &&
    differing.length > 0 &&
    differing.every((id) => history.wasUpdatedEarly(operation, id))
  );
}

function hasEmptyRowsOnly({ status, body }: EndpointResponse): boolean {
  if (status !== 200) return false;
  const { ids } = JSON.parse(body.toString()) as { readonly ids: readonly (readonly string[])[] };
  return ids.every((row) => row.length === 0);
}

export const RESPONSE_DIFFERENCES: readonly AnswerDifference[] = [
  {
    name: 'rename to a name in use',
    reason:
      'A bare server lets the constraint of its database speak, as 500; Polychrome says 409 as for a create.',
    applies: ({ operation, a, b }) =>
      operation.method === 'PUT' &&
      b.status === 500 &&
      errorOf(b).message.endsWith('UNIQUE constraint failed: collections.name, collections.database_id') &&
      isNameInUse(a),
  },
  {
    name: 'which of several keys',
    reason: 'A bare server keeps metadata in a hash map and reports the faulty key that comes first there.',
    applies: ({ operation, a, b }) =>
      a.status === b.status &&
      errorOf(a).error === errorOf(b).error &&
      faultOfKey(a, operation) !== null &&
      faultOfKey(a, operation) === faultOfKey(b, operation),
  },
  {
    name: 'lists in the metadata of a collection',
    reason:
      'From 1.3 on the handler of a bare server panics, and the connection ends without a response. Polychrome responds with 501.',
    applies: ({ operation, a, b }) =>
      isSchemaCall(operation) &&
      /"(?:new_)?metadata":\{.*:[[{]/.test(operation.body ?? '') &&
      b.status === 0 &&
      a.status === 501,
  },
  {
    name: 'update before its record',
    reason:
      'A server keeps the embedding of an update that names no record, and may give it to a record stored under that id later, depending on what is read in between; Polychrome reads from several.',
    applies: differsInEarlyEmbeddings,
  },
  {
    name: 'query for zero rows after a delete',
    reason:
      'The handler of a bare server panics once the index holds a deleted record, and the connection ends without a response. Polychrome responds with empty rows.',
    applies: ({ operation, a, b }) =>
      placeOf(operation.path).call === 'query' &&
      /"n_results":0[,}]/.test(operation.body ?? '') &&
      b.status === 0 &&
      hasEmptyRowsOnly(a),
  },
  {
    name: 'collection by resource name',
    reason:
      'A bare server has no such lookup: its handler panics and the connection ends. Polychrome says so.',
    applies: ({ operation, a, b }) =>
      operation.method === 'GET' &&
      /^\/api\/v2\/collections\/[^/]+$/.test(operation.path) &&
      b.status === 0 &&
      a.status === 501,
  },
];

/** A difference of state, visible in the collection after a refused write. */
export const DIMENSION_DIFFERENCE: Named = {
  name: 'dimension fixed by a refused write',
  reason: 'A bare server fixes the dimension of a collection before it refuses its first write.',
};

/** The dimension that only the bare server has, when that is all in which the two shown collections differ. */
export function strayDimension(a: EndpointResponse, b: EndpointResponse): number | null {
  if (a.status !== 200 || b.status !== 200) return null;
  const [ours, theirs] = [a, b].map(
    (response) => /"dimension":(null|\d+)/.exec(response.body.toString())?.[1],
  );
  return ours === 'null' && theirs !== undefined && theirs !== 'null' ? Number(theirs) : null;
}
