import { expect, test } from 'vitest';
import { isOnlyUnstorable } from './collection-bodies.ts';

test.each([
  ['{"new_metadata":{"a":[1]}}', true],
  ['{"new_metadata":{"a":1,"b":["x"]},"new_name":null,"other":2}', true],
  ['{"new_metadata":{"a":{"indices":[1],"values":[1.0]}}}', true],
  ['{"new_metadata":{"a":1}}', false],
  // A node validates these.
  ['{"new_metadata":{"a":[1,"x"]}}', false],
  ['{"new_metadata":{"a":[[1]]}}', false],
  ['{"new_metadata":{"a":{"b":1}}}', false],
  ['{"new_metadata":{"a":[1],"#b":1}}', false],
  ['{"new_metadata":{"a":[1]},"new_name":1}', false],
  ['{"new_metadata":{"a":[1]},"new_configuration":{"hnsw":{"unknown":1}}}', false],
  ['{"new_metadata":{"a":[1]}', false],
  ['{"new_metadata":{"a":[1]},"new_metadata":{"a":[1]}}', false],
  ['[]', false],
])(
  'isOnlyUnstorable reports whether a modification changes only metadata that no server can store: %s',
  (body, expected) => {
    expect(isOnlyUnstorable(Buffer.from(body), { modern: true })).toBe(expected);
    expect(isOnlyUnstorable(Buffer.from(body), { modern: false })).toBe(false);
  },
);
