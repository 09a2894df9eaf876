// Filters as JSON text: `where` and `where_document`, mostly right, sometimes wrong in one of the known ways.

import fc from 'fast-check';
import { array, type JsonText, metadataKey, object, text } from './values.ts';

const operand: JsonText = fc.constantFrom(
  ...[
    '"red"',
    '"green"',
    '1',
    '1.0',
    '2',
    '2.5',
    '0',
    '-1',
    'true',
    'false',
    '""',
    '9007199254740993',
    '"é"',
  ],
);
const oddOperand: JsonText = fc.constantFrom(
  'null',
  '[]',
  '{}',
  '[1]',
  '1e400',
  '{"$eq":1}',
  '9223372036854775808',
);
const comparison = fc.constantFrom('$eq', '$ne', '$gt', '$gte', '$lt', '$lte');
const membership = fc.constantFrom('$in', '$nin');
const oddOperator = fc.constantFrom('$near', '$contains', '$not', 'eq', '', '$AND');

const single = (key: string, value: string): string => object([[key, value]]);

const operands: JsonText = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(fc.constantFrom('"red"', '"blue"', '"é"'), { minLength: 1, maxLength: 3 }).map(array),
  },
  {
    weight: 4,
    arbitrary: fc.array(fc.constantFrom('1', '2', '-1'), { minLength: 1, maxLength: 3 }).map(array),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom('1.0', '2.5', '0.1'), { minLength: 1, maxLength: 3 }).map(array),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('[]', '[1,"red"]', '[true]', '[1,1.0]', '"red"', 'null', '[null]', '[[]]'),
  },
);

const condition: JsonText = fc.oneof(
  { weight: 4, arbitrary: operand },
  { weight: 6, arbitrary: fc.tuple(comparison, operand).map(([name, value]) => single(name, value)) },
  { weight: 4, arbitrary: fc.tuple(membership, operands).map(([name, value]) => single(name, value)) },
  { weight: 1, arbitrary: oddOperand },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.oneof(oddOperator, comparison), oddOperand)
      .map(([name, value]) => single(name, value)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('{"$gt":1,"$lt":3}', '{"$contains":"red"}', '{"$not_contains":1}'),
  },
);

const leaf: JsonText = fc.tuple(metadataKey, condition).map(([key, value]) => single(key, value));

/** Joins what `inner` makes by $and or $or, to a small depth. */
function joined(inner: JsonText, empty: string): JsonText {
  const parts = (minLength: number): JsonText => fc.array(inner, { minLength, maxLength: 3 }).map(array);
  const name = fc.constantFrom('$and', '$or');
  return fc.oneof(
    { weight: 8, arbitrary: inner },
    { weight: 3, arbitrary: fc.tuple(name, parts(1)).map(([key, value]) => single(key, value)) },
    { weight: 1, arbitrary: fc.tuple(name, parts(0)).map(([key, value]) => single(key, value)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(empty, 'null', '[]', '"x"', '{"$and":{}}', '{"$or":null}', '{"$and":[{}]}'),
    },
  );
}

const twoKeys: JsonText = fc.tuple(condition, condition).map(([one, other]) =>
  object([
    ['colour', one],
    ['weight', other],
  ]),
);

export const where: JsonText = fc.oneof(
  { weight: 14, arbitrary: joined(joined(leaf, '{}'), '{}') },
  { weight: 1, arbitrary: twoKeys },
);

// A 1.0.x server of the first days drops the connection on any $regex; the releases compared here answer it.
const pattern: JsonText = fc.constantFrom(
  ...['"red"', '"^a "', '"(?i)RED"', '"p[ae]+r"', '"."', '"\\\\d+"', '"é|🍐"', '"["', '""', '"(a|b)*c"'],
);
const documentOperator = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(fc.constantFrom('$contains', '$not_contains'), text) },
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom('$regex', '$not_regex'), pattern) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('$contains', '$eq', 'x', '$regex'), oddOperand) },
);

export const whereDocument: JsonText = joined(
  documentOperator.map(([name, value]) => single(name, value)),
  '{}',
);
