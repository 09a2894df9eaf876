// The values bodies are made of, as JSON text: what JavaScript would normalise away (1.0, 2^53+1, escapes, doubled
// keys) is the point. Common values come first and shrink to the plainest.

import fc from 'fast-check';

export type JsonText = fc.Arbitrary<string>;

/** Names of record ids and metadata keys repeat on purpose: only then do operations meet. */
const quoted = (...texts: string[]): string[] => texts.map((text) => JSON.stringify(text));

export const array = (items: readonly string[]): string => `[${items.join(',')}]`;

export type Fields = readonly (readonly [name: string, value: string])[];

export const object = (fields: Fields): string =>
  `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;

const long = 'long'.repeat(100);

export const recordId: JsonText = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...quoted('a', 'b', 'c', 'd', 'e', 'f')) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...quoted('é', '🍐', 'A', ' a', "'; DROP TABLE embeddings; --", 'a/b', '%', '_', 'null', '0', long),
      '"\\u0061"',
      '"e\\u0301"',
      '"\\ud83c\\udf50"',
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom('""', '"\\u0000"', '"\\ud800"', '1', 'null') },
);

// Around every edge at which a float, an integer of 64 bits or a double of JavaScript changes its mind.
const numberText = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('1', '2', '3', '1.0', '2.5', '-1', '0', '0.0') },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...['-0', '-0.0', '1e2', '1E+2', '0.1', '0.30000000000000004', '1e-50', '5e-324', '1e39', '1e308'],
      ...['9007199254740993', '9223372036854775807', '-9223372036854775808', '1.7976931348623157e308'],
      ...['123456789.123456789', '1.0000000000000002', '4294967296', '100000000000000000000.0'],
    ),
  },
);
const oddNumber = fc.constantFrom(
  ...['9223372036854775808', '-9223372036854775809', '18446744073709551616', '1e400', '-1e400'],
  ...['01', '.5', '1.', '+1', '0x1', 'NaN', 'Infinity', '-', '1e'],
);

const plainText = fc.constantFrom(
  ...quoted('red', 'green', 'blue', 'a red pear', 'a green apple', 'Red', 'no fruit at all'),
);
const strangeText = fc.constantFrom(
  ...quoted(
    '',
    'é',
    'e\u0301',
    '🍐🍏',
    '100%',
    'a_b',
    `it's "quoted"\\`,
    'line\nfeed\ttab',
    '\u202Ertl',
    long,
  ),
  ...['"\\u0072ed"', '"\\u0000"', '"\\/"', '"\\ud83c\\udf4f"', '"\u2028"'],
);
export const text: JsonText = fc.oneof(
  { weight: 5, arbitrary: plainText },
  { weight: 2, arbitrary: strangeText },
);

const metadataValue: JsonText = fc.oneof(
  { weight: 6, arbitrary: numberText },
  { weight: 6, arbitrary: text },
  { weight: 2, arbitrary: fc.constantFrom('true', 'false') },
);
const oddMetadataValue: JsonText = fc.oneof(
  { weight: 4, arbitrary: fc.constant('null') },
  { weight: 3, arbitrary: oddNumber },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...['[]', '[1,2]', '[1,2.5]', '["a","b"]', '[true]', '[1,"a"]', '[null]', '[[1]]'],
      ...['{}', '{"nested":1}', '{"indices":[1],"values":[1.0]}', '"\\ud800"', 'tru', '"\u0001"'],
    ),
  },
);

export const metadataKey = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('colour', 'weight', 'ripe') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...[
        '',
        'é',
        '🍐',
        ' ',
        'a.b',
        '#tag',
        '$set',
        '__proto__',
        'constructor',
        'hnsw:space',
        "'",
        'id',
        long,
      ],
    ),
  },
);

/** A flat object; about one in eight has something a server should refuse, or a key twice. */
export const metadata: JsonText = fc.oneof(
  { weight: 8, arbitrary: entries(metadataValue, 1) },
  { weight: 1, arbitrary: entries(fc.oneof(metadataValue, oddMetadataValue), 0) },
);

function entries(value: JsonText, minLength: number): JsonText {
  return fc.array(fc.tuple(metadataKey, value), { minLength, maxLength: 3 }).map(object);
}

/** The length of nearly all vectors. */
const DIMENSION = 3;

// Fine-grained and not shrunk: two records at the same distance come back in either order, on any server.
const component: JsonText = fc.noShrink(
  fc.integer({ min: -99_999, max: 99_999 }).map((thousandths) => (thousandths / 1000).toFixed(3)),
);
const edgeComponent: JsonText = fc.constantFrom(
  ...['1', '1.0', '-0.0', '0', '1e-50', '1e-45', '1E2', '0.1', '-1', '0.30000000000000004', '3.0000001'],
);
// Far beyond 2^53, and never the same: beside such a component the others count for nothing in a distance.
const hugeComponent: JsonText = fc.noShrink(
  fc.integer({ min: 1_000_001, max: 9_999_999 }).map((integer) => `${integer}000000000003`),
);
const oddComponent: JsonText = fc.constantFrom(
  ...['1e39', '-1e39', '3.4028236e38', '1e400', 'null', '"1"', 'true', '[]', '{}', '01', 'NaN', ''],
);

function vectorOf(length: number): JsonText {
  return fc.array(component, { minLength: length, maxLength: length }).map(array);
}

const edgeVector = fc.tuple(edgeComponent, component, component).map(array);
const hugeVector = fc.tuple(hugeComponent, component, component).map(array);
const base64Vector = fc
  .tuple(component, component, component)
  .map((texts) => JSON.stringify(Buffer.from(Float32Array.from(texts, Number).buffer).toString('base64')));

/** To ask with: never so large that all records are equally far away. */
export const queryVector: JsonText = fc.oneof(
  { weight: 30, arbitrary: vectorOf(DIMENSION) },
  { weight: 4, arbitrary: edgeVector },
  // Not 1: in one dimension many lie at the same cosine distance.
  { weight: 1, arbitrary: fc.constantFrom(2, 4).chain(vectorOf) },
);

export const vector: JsonText = fc.oneof(
  { weight: 35, arbitrary: queryVector },
  { weight: 1, arbitrary: hugeVector },
);

export const oddVector: JsonText = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(component, component, oddComponent).map(array) },
  { weight: 2, arbitrary: fc.constantFrom('[]', 'null', '1', '"x"', '""', '"AAAA"', '{}', '[[1,2,3]]') },
);

/** A whole `embeddings` column in base64, which has to be so for all of its vectors. */
export const base64Vectors = (count: number): fc.Arbitrary<string> =>
  fc.array(base64Vector, { minLength: count, maxLength: count }).map(array);

/** For any field whose type is something else. */
export const wrongType: JsonText = fc.constantFrom(
  ...['null', '1', '"x"', 'true', '[]', '{}', '[null]', '[1]', '[[]]', '[[[]]]', '["a"]', '{"a":1}', '[{}]'],
  ...['1.5', '-1', '[{"a":1}]', '[[1,2,3]]'],
);
