// Every way in which Polychrome answers otherwise than a bare server, on purpose: one narrow predicate each, with its
// reason. Whatever none of them accepts is a failure. docs/compatibility.md tells them to users.

import { columnNumbers, FLOAT32_LIMIT } from './body-numbers.ts';
import type { Answer } from './endpoint.ts';
import type { History } from './history.ts';
import { type Operation, placeOf } from './operation.ts';

/** An operation and what came of it. */
export interface Exchange {
  readonly operation: Operation;
  readonly history: History;
  /** Polychrome's answer. */
  readonly a: Answer;
  /** The bare server's. */
  readonly b: Answer;
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

export function errorOf(answer: Answer): ErrorBody {
  try {
    const { error, message } = JSON.parse(answer.body.toString()) as Partial<ErrorBody>;
    return { error: String(error), message: String(message) };
  } catch {
    return { error: '', message: '' };
  }
}

const isRecordWrite = (operation: Operation): boolean =>
  operation.method === 'POST' && ['add', 'upsert', 'update'].includes(placeOf(operation.path).call ?? '');

/** Refused as a bad request in Polychrome's own words. */
function refuses(answer: Answer, message: string): boolean {
  const { error, message: said } = errorOf(answer);
  return answer.status === 400 && error === 'InvalidArgumentError' && said.startsWith(message);
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

/** The body for looking at: bytes that are no UTF-8 become one character each. */
function sentText({ body, bytes }: Operation): string {
  return bytes === undefined ? (body ?? '') : Buffer.from(bytes, 'base64').toString('latin1');
}

// The text begins with a whole JSON object, and something follows it.
function hasTrailingText(text: string): boolean {
  for (let end = text.length - 1; end > 0; end--) {
    if (text[end - 1] !== '}') continue;
    try {
      JSON.parse(text.slice(0, end));
      return text.slice(end).trim() !== '';
    } catch {
      // Not here.
    }
  }
  return false;
}

// Of two arrays, or of an array and a string, the inner one is empty.
function hasEmptyEmbedding(json: string): boolean {
  return /"embeddings"\s*:\s*\[(?:\s*(?:null|"[^"]*"|\[[^\]]*\])\s*,)*\s*(?:""|\[\s*\])/.test(json);
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
      'The Rust parser also takes an object as an array of its fields, in their order; no client sends that.',
    applies: ({ operation, a }) =>
      operation.method !== 'GET' &&
      a.status === 422 &&
      /^Failed to deserialize the JSON body into the target type: invalid type: sequence, expected (struct \w+|a map) at /.test(
        errorOf(a).message,
      ) &&
      /^\s*\[/.test(operation.body ?? ''),
  },
  {
    name: 'bytes after the body',
    reason:
      'A bare server stops reading where the JSON ends and ignores what follows; Polychrome takes no half of a body.',
    applies: ({ operation, a }) =>
      operation.method !== 'GET' &&
      refuses(a, 'Failed to parse the request body as JSON: trailing characters at line ') &&
      hasTrailingText(sentText(operation)),
  },
  {
    name: 'delete with limit',
    reason:
      'Releases before 1.3 ignore `limit` and delete everything that matches; Polychrome refuses it there.',
    applies: ({ operation, a }) =>
      operation.method === 'POST' &&
      placeOf(operation.path).call === 'delete' &&
      ((refuses(a, 'limit is not supported: a server of this cluster would ignore it') &&
        /"limit"\s*:(?!\s*null)/.test(operation.body ?? '')) ||
        errorOf(a).message.includes(': duplicate field `limit` at ')),
  },
];

function isMissingCollection(answer: Answer): boolean {
  return (
    answer.status === 404 && /^Collection \[[0-9a-f-]{36}\] does not exists?\.$/.test(errorOf(answer).message)
  );
}

const BODY_FAULTS = [
  ...[
    'Failed to parse the request body as JSON: ',
    'Failed to deserialize the JSON body into the target type: ',
  ],
  ...[
    'Expected request with ',
    'Validation error: ',
    'Invalid where clause',
    'Invalid where document clause',
  ],
  ...['Regex syntax ', 'Inconsistent dimensions in provided embeddings', 'Failed to parse hnsw parameters '],
  ...[
    'Inconsistent number of IDs, ',
    'Empty ID, ',
    'limit is not supported: ',
    'Multiple vector index configurations ',
    'Base64 decoding error: ',
  ],
];

function isFaultOfBody(answer: Answer): boolean {
  const { message } = errorOf(answer);
  return [400, 415, 422].includes(answer.status) && BODY_FAULTS.some((fault) => message.startsWith(fault));
}

const isRefusedName = (answer: Answer): boolean =>
  answer.status === 400 && /^Validation error: (new_)?name: Expected a name /.test(errorOf(answer).message);

// A node lists every fault it finds, one a line and in any order.
function tellsMore(answer: Answer, than: Answer): boolean {
  const lines = (one: Answer): string[] => errorOf(one).message.replace('Validation error: ', '').split('\n');
  const told = lines(answer);
  return told.length > 1 && lines(than).every((line) => told.includes(line));
}

const isSyntaxFault = (answer: Answer): boolean =>
  answer.status === 400 && errorOf(answer).message.startsWith('Failed to parse the request body as JSON: ');

const isNameInUse = (answer: Answer): boolean =>
  answer.status === 409 && /^Collection \[.*\] already exists$/.test(errorOf(answer).message);

const isMissingDatabase = (answer: Answer): boolean =>
  answer.status === 400 && /^Database \[.*\] does not exist$/s.test(errorOf(answer).message);

function isJudgedByNode({ method, path }: Operation): boolean {
  const { collection, call } = placeOf(path);
  if (method === 'PUT') return collection !== null && call === null;
  return method === 'POST' && (call === 'get' || call === 'query');
}

function isJudgedAtDoor({ method, path }: Operation): boolean {
  return method === 'POST' && ['add', 'upsert', 'update', 'delete'].includes(placeOf(path).call ?? '');
}

/** Creates or modifies a collection. */
function isSchemaCall({ method, path }: Operation): boolean {
  if (method === 'PUT') return placeOf(path).collection !== null && placeOf(path).call === null;
  return method === 'POST' && path.endsWith('/collections');
}

// What the two kinds of fault that the parser finds begin with; the rest is its own words and the place.
const PARSER_FAULTS = [
  'Failed to parse the request body as JSON: ',
  'Failed to deserialize the JSON body into the target type: ',
];

export const ANSWER_DIFFERENCES: readonly AnswerDifference[] = [
  {
    name: 'words of the parser',
    reason:
      'Path and column in a refusal are those of the Rust parser; Polychrome reads bodies with one of its own.',
    applies: ({ a, b }) =>
      (a.status === 400 || a.status === 422) &&
      a.status === b.status &&
      errorOf(a).error === errorOf(b).error &&
      PARSER_FAULTS.some(
        (fault) => errorOf(a).message.startsWith(fault) && errorOf(b).message.startsWith(fault),
      ),
  },
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
    name: 'faulty body for an unknown collection',
    reason: 'Two faults in one request: which of them a server tells depends on what it looks at first.',
    applies: ({ operation, a, b }) =>
      (isJudgedByNode(operation) && isMissingCollection(a) && isFaultOfBody(b)) ||
      (isJudgedAtDoor(operation) && isFaultOfBody(a) && isMissingCollection(b)),
  },
  {
    name: 'faulty body of another dimension',
    reason: 'Two faults in one request: Polychrome looks at the body alone before it asks for the dimension.',
    applies: ({ operation, a, b }) =>
      isRecordWrite(operation) &&
      isFaultOfBody(a) &&
      b.status === 400 &&
      /^Collection expecting embedding with dimension of \d+, got \d+$/.test(errorOf(b).message),
  },
  {
    name: 'two faulty filters of a delete',
    reason: 'Which of `where` and `where_document` is told depends on which is looked at first.',
    applies: ({ operation, a, b }) =>
      operation.method === 'POST' &&
      placeOf(operation.path).call === 'delete' &&
      refuses(a, 'Invalid where document clause') &&
      (refuses(b, 'Invalid where clause') || refuses(b, 'Regex syntax ')),
  },
  {
    name: 'two faults in a schema body',
    reason:
      'Polychrome judges the syntax, the name and the database, a node the rest; neither makes anything.',
    applies: ({ operation, a, b }) =>
      isSchemaCall(operation) &&
      (isRefusedName(a) || isNameInUse(a) || isSyntaxFault(a) || isMissingDatabase(a)) &&
      isFaultOfBody(b) &&
      ((!isRefusedName(b) && !isSyntaxFault(b)) || tellsMore(b, a)),
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

/** Not an answer but a state, seen by looking at the collection after a refused write. */
export const DIMENSION_DIFFERENCE: Named = {
  name: 'dimension fixed by a refused write',
  reason: 'A bare server fixes the dimension of a collection before it refuses its first write.',
};

/** The dimension that only the bare server has, when that is all in which the two shown collections differ. */
export function strayDimension(a: Answer, b: Answer): number | null {
  if (a.status !== 200 || b.status !== 200) return null;
  const [ours, theirs] = [a, b].map((answer) => /"dimension":(null|\d+)/.exec(answer.body.toString())?.[1]);
  return ours === 'null' && theirs !== undefined && theirs !== 'null' ? Number(theirs) : null;
}
