// What a node's response to a mutation means for the state of the node.

import type { NodeOperation } from './node-requests.ts';

export interface ChromaResponse {
  readonly status: number;
  readonly body: Buffer;
}

export const isSuccess = ({ status }: Pick<ChromaResponse, 'status'>): boolean =>
  status >= 200 && status < 300;

/** True for Chroma's own 404: the collection, database or tenant does not exist. */
export function isMissing({ status, body }: ChromaResponse): boolean {
  return status === 404 && (body.length === 0 || errorIn(body)?.error === 'NotFoundError');
}

// Beginnings of the messages of 400s that a server gives before it changes anything. Records pass these checks, then
// enter the queue, and only then the indexes (rust/frontend/src/impls/service_based_frontend.rs). Two 400s are not in
// the list: "Inconsistent number of IDs, embeddings, …", because a first add rejected so has already fixed the
// collection's dimension, and "Failed to apply logs …", because the queue has taken the records before.
const RECORD_REFUSALS = [
  'Failed to parse the request body as JSON',
  'Validation error: ',
  'Collection ID is not a valid UUID',
  'Collection expecting embedding with dimension of ',
  'Inconsistent dimensions in provided embeddings',
  'Invalid where clause',
];

/**
 * True only for responses that are known to leave the node unchanged: the node rejects the request. Any other, every
 * 5xx included, may have had an effect: a server whose writes fail with 500 applies them after a restart.
 * A 404 has no effect either, but whether it is a failure depends on the caller: for a repeated deletion it means done.
 */
export function hasNoEffect(operation: NodeOperation, response: ChromaResponse): boolean {
  const { status, body } = response;
  // Rejected by the layers that read the request, before any of Chroma's own code. Their bodies vary.
  if (status === 405 || status === 413 || status === 415) return true;
  if (status === 404) return isMissing(response);
  if (status === 422) return errorIn(body)?.message.startsWith('Failed to deserialize') === true;
  if (status !== 400 && status !== 409) return false;

  const refusal = errorIn(body);
  if (refusal === null) return false;
  if (status === 409) return isSchemaOperation(operation) && refusal.message.endsWith('already exists');
  if (refusal.error !== 'InvalidArgumentError') return false;
  // A schema operation is one sqlite transaction, which is rolled back when it is rejected.
  return isSchemaOperation(operation) || RECORD_REFUSALS.some((start) => refusal.message.startsWith(start));
}

// SQLite refuses the statement of a filter, or a regular expression is too large once compiled ((code: 1043), as for
// `\\w{300}`). Both depend on the request alone.
const BEYOND_SQLITE =
  /\(code: 1\) (?:LIKE or GLOB pattern too complex|too many SQL variables|Expression tree is too large)|\(code: 1043\)/;

/** Whether a 500 in response to a read means that no server can answer it, whatever it holds. */
export function isUnanswerable({ status, body }: ChromaResponse): boolean {
  return status === 500 && BEYOND_SQLITE.test(body.toString('utf8', 0, 500));
}

/** The id in the collection object that a successful response holds; null in any other response. */
export function collectionIdIn({ status, body }: ChromaResponse): string | null {
  const value = status === 200 ? parseJson(body) : null;
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : null;
  return typeof id === 'string' ? id : null;
}

function isSchemaOperation(operation: NodeOperation): boolean {
  return (
    operation.startsWith('create_') || operation.endsWith('_collection') || operation === 'delete_database'
  );
}

function errorIn(body: Buffer): { error: string; message: string } | null {
  const value = parseJson(body);
  if (typeof value !== 'object' || value === null || !('error' in value) || !('message' in value))
    return null;
  const { error, message } = value;
  return typeof error === 'string' && typeof message === 'string' ? { error, message } : null;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}
