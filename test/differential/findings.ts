// Differences that nobody wants: each is a fault of Polychrome, to be mended there and then deleted here. They are kept
// apart from the documented ones so that a run goes on to what is not known yet, and says how often it met them.

import { type AnswerDifference, errorOf } from './differences.ts';

const message = ({ body }: { readonly body: Buffer }): string =>
  errorOf({ status: 0, contentType: '', body }).message;

export const FINDINGS: readonly AnswerDifference[] = [
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
