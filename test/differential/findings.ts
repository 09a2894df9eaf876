// Differences that nobody wants: each is a fault of Polychrome, to be mended there and then deleted here. They are kept
// apart from the documented ones so that a run goes on to what is not known yet, and says how often it met them.

import { type AnswerDifference, errorOf, isFaultOfBody } from './differences.ts';

const message = ({ body }: { readonly body: Buffer }): string =>
  errorOf({ status: 0, contentType: '', body }).message;

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
];
