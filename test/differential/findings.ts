// Differences that nobody wants: each is a fault of Polychrome, to be mended there and then deleted here. They are kept
// apart from the documented ones so that a run goes on to what is not known yet, and says how often it met them.

import { type AnswerDifference, errorOf, isFaultOfBody } from './differences.ts';

const message = ({ body }: { readonly body: Buffer }): string =>
  errorOf({ status: 0, contentType: '', body }).message;

const databaseNames = ({ body }: { readonly body: Buffer }): string[] =>
  (JSON.parse(body.toString()) as { name: string }[]).map((database) => database.name);

export const FINDINGS: readonly AnswerDifference[] = [
  {
    name: 'get_or_create of another type is taken for false',
    reason: 'A bare server refuses it with 422; Polychrome overwrites it before a node could.',
    applies: ({ operation, b }) =>
      operation.action === 'create collection' &&
      b.status === 422 &&
      message(b).startsWith(
        'Failed to deserialize the JSON body into the target type: get_or_create: invalid type: ',
      ),
  },
  {
    name: 'get_or_create of what exists passes over a faulty body',
    reason: 'A bare server refuses the body before it looks whether the collection exists.',
    applies: ({ operation, a, b }) =>
      operation.action === 'create collection' &&
      /"get_or_create":true/.test(operation.body ?? '') &&
      a.status === 200 &&
      (b.status === 422 || b.status === 400) &&
      isFaultOfBody(b),
  },
  {
    name: 'order of databases',
    reason: 'A bare server lists them by name, in the order of bytes; Polychrome as they were made.',
    applies: ({ operation, a, b }) =>
      operation.method === 'GET' &&
      /\/databases(\?.*)?$/.test(operation.path) &&
      a.status === 200 &&
      b.status === 200 &&
      (/[?&](limit|offset)=/.test(operation.path) ||
        databaseNames(a).toSorted().join('\n') === databaseNames(b).join('\n')),
  },
  {
    name: 'unknown fields of schema calls are judged',
    reason: 'A bare server skips them without converting numbers or escapes.',
    applies: ({ operation, a }) =>
      /"unknown_field":(1e400|"\\ud800")/.test(operation.body ?? '') &&
      a.status === 400 &&
      /^Failed to parse the request body as JSON: (number out of range|unexpected end of hex escape) at /.test(
        message(a),
      ),
  },
  {
    name: 'parameter given twice',
    reason: 'Refused with 400 by a bare server.',
    applies: ({ operation, b }) =>
      /[?&](limit|offset)=.*&\1=/.test(operation.path) &&
      message(b) === 'Failed to deserialize query string: duplicate field `limit`',
  },
  {
    name: 'words for a name that is an address',
    reason: 'A bare server has no colon after "Got" there.',
    applies: ({ a, b }) =>
      a.status === 400 && b.status === 400 && message(a).replace('Got: ', 'Got ') === message(b),
  },
  {
    name: 'a body that is not UTF-8',
    reason: 'Another fault of the same body is told first.',
    applies: ({ operation, a, b }) =>
      operation.bytes !== undefined &&
      (a.status === 422 || a.status === 400) &&
      /^Failed to parse the request body as JSON: .*(invalid unicode code point|expected value)/.test(
        message(b),
      ),
  },
  {
    name: 'newest: words for invalid base64',
    reason: 'From 1.3 on without "Base64 decoding error: " before them.',
    applies: ({ a, b }) =>
      a.status === 400 && b.status === 400 && message(a) === `Base64 decoding error: ${message(b)}`,
  },
  {
    name: 'newest: names of databases',
    reason: 'From 1.3 on they follow the rule of collections’ names.',
    applies: ({ operation, a, b }) =>
      operation.action === 'create database' &&
      a.status === 400 &&
      message(a).startsWith('Validation error: database_name: Validation error: length ') &&
      b.status === 400 &&
      message(b).startsWith('Expected a name containing 3-512 characters '),
  },
  {
    name: 'newest: a plus in a name',
    reason: 'From 1.3 on what stands before it is judged by itself.',
    applies: ({ operation, a, b }) =>
      /"(new_)?name":"us\+name"/.test(operation.body ?? '') &&
      a.status === 400 &&
      b.status === 400 &&
      message(a).replace('Got: us+name', 'Got: us') === message(b),
  },
  {
    name: 'newest: delete with limit and nothing to delete',
    reason: 'A bare server misses ids and where first.',
    applies: ({ a, b }) =>
      a.status === 400 &&
      message(a).startsWith('Validation error: limit, where: limit can only be ') &&
      b.status === 400 &&
      message(b) === 'Validation error: ids, where: Either ids or where must be specified',
  },
  {
    name: 'newest: a faulty value beside mixed embeddings',
    reason: 'Of the two faults a bare server tells the value.',
    applies: ({ a, b }) =>
      a.status === 400 &&
      message(a) === 'Inconsistent dimensions in provided embeddings' &&
      b.status === 400 &&
      (message(b) === 'Validation error: embeddings: Embeddings must not contain NaN or Infinity values' ||
        message(b).startsWith('Validation error: metadatas: Invalid metadata at index ')),
  },
  {
    name: 'newest: sparse vectors in metadata',
    reason: 'From 1.3 on their shape is known, and refused for other reasons; Polychrome refuses the shape.',
    applies: ({ operation, a, b }) =>
      /\{"indices":\[1\],"values":\[1\.0\]\}/.test(operation.body ?? '') &&
      a.status === 422 &&
      /data did not match any variant of untagged enum (Update)?MetadataValue at /.test(message(a)) &&
      (b.status === 400 || b.status === 501),
  },
  {
    name: 'newest: a database by a name that is too short',
    reason: 'From 1.3 on refused with 400 before it is looked for.',
    applies: ({ operation, a, b }) =>
      /\/databases\/[^/]{0,2}$/.test(operation.path) &&
      a.status === 404 &&
      b.status === 400 &&
      message(b) === 'database name must be at least 3 characters',
  },
];
