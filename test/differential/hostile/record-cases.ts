// Record calls: numbers and lengths of ids, vectors, metadata, duplicates, empty columns.

import { oneOf, type Random, range } from '../../support/draw.ts';
import { type Draw, embeddings, post, SEEDED } from './hostile-case.ts';

/** All ids of one call together. Many records take a server long; a few long ids may come near the largest body. */
const idCharactersMax = (length: number): number => (length > 16_000 ? 24_000_000 : 8_000_000);

const id = (length: number, n: number): string => {
  const end = String(n);
  return length <= end.length ? end : `${'x'.repeat(length - end.length)}${end}`;
};

type Write = 'add' | 'upsert' | 'update';
const WRITES = ['add', 'upsert', 'update'] as const;

const written = (action: Write, ids: readonly string[], more = ''): ReturnType<typeof post> =>
  post(action, `{"ids":${JSON.stringify(ids)},"embeddings":${embeddings(ids.length)}${more}}`);

/** Many ids, or long ones with a common beginning, written, then read or deleted in one call. */
export const manyIds: Draw = (random) => {
  const length = oneOf(random, [1, 40, 1_000, 16_383, 16_384, 60_000]);
  const most = Math.floor(idCharactersMax(length) / length);
  const count = Math.min(most, oneOf(random, [0, 1, 400, 5_461, 5_462, 10_000, 32_766, 32_767, 40_000]));
  const action = oneOf(random, WRITES);
  const then = oneOf(random, ['get', 'delete', 'delete'] as const);
  return {
    about: `${action}, then ${then} of ${count} ids of ${length} characters`,
    operations: () => {
      const ids = range(count).map((n) => id(length, n));
      return [written(action, ids), post(then, { ids, ...(then === 'get' ? { include: [] } : {}) })];
    },
  };
};

export const duplicateIds: Draw = (random) => {
  const count = oneOf(random, [2, 3, 100, 5_000]);
  const distinct = oneOf(random, [1, 2, Math.ceil(count / 2)]);
  const action = oneOf(random, [...WRITES, 'delete', 'get'] as const);
  const ids = range(count).map((n) => `r${n % distinct}`);
  return {
    about: `${action} of ${count} ids, ${distinct} of them distinct`,
    operations: () => [
      action === 'delete' || action === 'get' ? post(action, { ids }) : written(action, ids),
    ],
  };
};

/** Every column given, empty or null, in combination with the others. */
export const emptyColumns: Draw = (random) => {
  const action = oneOf(random, [...WRITES, 'delete', 'get', 'query'] as const);
  const columns = [
    'ids',
    'embeddings',
    'metadatas',
    'documents',
    'uris',
    'where',
    'include',
    'query_embeddings',
  ];
  const fields = columns.flatMap((name) => {
    const value = oneOf(random, ['[]', '[]', '[]', 'null', null, name === 'where' ? '{}' : '["r1"]']);
    return value === null ? [] : [`"${name}":${value}`];
  });
  return {
    about: `${action} of {${fields.join(',')}}`,
    operations: () => [post(action, `{${fields.join(',')}}`)],
  };
};

const vector = (dimension: number, n: number): number[] => range(dimension).map((at) => ((at + n) % 7) / 4);

/** The first write of an empty collection fixes the dimension; what follows has it, or one more. */
export const dimensions: Draw = (random) => {
  const dimension = oneOf(random, [1, 2, 16, 1_536, 4_096, 10_000, 20_000]);
  const count = oneOf(random, [1, 2, 10]);
  const action = oneOf(random, ['add', 'upsert'] as const);
  const all = range(SEEDED);
  return {
    about: `${action} of ${count} vectors of dimension ${dimension}, then one of another dimension`,
    created: ',"metadata":{"emptied":true}',
    operations: () => [
      post('delete', { ids: all.map((n) => `r${n}`) }),
      post(action, {
        ids: range(count).map((n) => `v${n}`),
        embeddings: range(count).map((n) => vector(dimension, n)),
      }),
      post('query', { query_embeddings: [vector(dimension, 1)], n_results: 2, include: ['distances'] }),
      post('update', { ids: ['v0'], embeddings: [vector(dimension + 1, 1)] }),
    ],
  };
};

// At the edges of what serde, a 32-bit float, a double and a 64-bit integer hold.
const NUMBERS = [
  ...['1e38', '3.4028235e38', '3.4028236e38', '1e39', '-1e39', '1e-38', '1e-45', '1e-46', '1e-50', '1e-400'],
  ...['-0.0', '-0', '0e0', '1e308', '1.7976931348623157e308', '9223372036854775807', '9223372036854775808'],
  ...['-9223372036854775808', '-9223372036854775809', '18446744073709551615', '18446744073709551616'],
  ...[
    `0.${'1'.repeat(400)}`,
    `1.${'0'.repeat(400)}`,
    '1'.repeat(300),
    `${'9'.repeat(38)}.5`,
    `1${'0'.repeat(308)}`,
  ],
  ...[
    '9007199254740993',
    '2.2250738585072011e-308',
    '4.9e-324',
    '1E+0005',
    '123456789012345678901234567890e-20',
  ],
];

export const numbers: Draw = (random) => {
  const number = oneOf(random, NUMBERS);
  const place = oneOf(random, ['embedding', 'metadata', 'where', 'query', 'mixed metadata'] as const);
  const bodies: Readonly<Record<typeof place, () => ReturnType<typeof post>>> = {
    embedding: () => post('upsert', `{"ids":["n"],"embeddings":[[${number},1,2]]}`),
    metadata: () => post('upsert', `{"ids":["n"],"embeddings":[[1,1,2]],"metadatas":[{"k":${number}}]}`),
    where: () => post('get', `{"where":{"k":{"$gte":${number}}}}`),
    query: () =>
      post('query', `{"query_embeddings":[[${number},1,2]],"n_results":3,"include":["distances"]}`),
    'mixed metadata': () =>
      post(
        'add',
        `{"ids":["n","m"],"embeddings":[[1,1,2],[2,2,2]],"metadatas":[{"a":1,"b":${number}},{"b":1.5}]}`,
      ),
  };
  return { about: `${number.slice(0, 40)} as ${place}`, operations: () => [bodies[place]()] };
};

const STRINGS: Readonly<Record<string, string>> = {
  NUL: '"a\\u0000b"',
  'a lone surrogate': '"\\ud800"',
  'a lone low surrogate': '"x\\udc00y"',
  'an escaped pair': '"\\ud83c\\udf50"',
  'a swapped pair': '"\\udf50\\ud83c"',
  'every escape': '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"',
  'a byte order mark': '"\\ufeffx"',
  'a noncharacter': '"\\uffff\\ufffe"',
  '100,000 escapes': `"${'\\u00e9'.repeat(100_000)}"`,
};

export const strings: Draw = (random) => {
  const name = oneOf(random, Object.keys(STRINGS));
  const text = STRINGS[name]!;
  const place = oneOf(random, ['id', 'document', 'uri', 'metadata value', 'metadata key', 'where'] as const);
  const record = (more: string, ids = '"s"'): ReturnType<typeof post> =>
    post('upsert', `{"ids":[${ids}],"embeddings":[[1,1,2]]${more}}`);
  const bodies: Readonly<Record<typeof place, () => ReturnType<typeof post>>> = {
    id: () => record('', text),
    document: () => record(`,"documents":[${text}]`),
    uri: () => record(`,"uris":[${text}]`),
    'metadata value': () => record(`,"metadatas":[{"s":${text}}]`),
    'metadata key': () => record(`,"metadatas":[{${text}:1}]`),
    where: () => post('get', `{"where":{"colour":${text}}}`),
  };
  return { about: `${name} as ${place}`, operations: () => [bodies[place]()] };
};

const METADATA: Readonly<Record<string, (random: Random) => string>> = {
  keys: (random) => {
    const count = oneOf(random, [64, 65, 300, 1_000, 5_000]);
    return range(count)
      .map((n) => `"key_${n}":${n % 3 === 0 ? n : `"value ${n}"`}`)
      .join(',');
  },
  'long key': (random) => `"${'k'.repeat(oneOf(random, [1_000, 10_000, 60_000]))}":1`,
  'long string': (random) => `"s":"${'long '.repeat(oneOf(random, [20_000, 200_000]))}"`,
  'doubled keys': () => '"d":1,"d":2,"d":"three"',
  'escaped key': () => '"\\u006b":5,"k":6',
};

export const metadata: Draw = (random) => {
  const name = oneOf(random, Object.keys(METADATA));
  const members = METADATA[name]!(random);
  // Thousands of keys in one record suffice: a server indexes each as a row.
  const count = members.length > 50_000 ? 1 : oneOf(random, [1, 20]);
  const action = oneOf(random, WRITES);
  return {
    about: `${action} of ${count} records with ${name}, ${members.length} characters each`,
    operations: () => [
      written(
        action,
        range(count).map((n) => `r${n}`),
        `,"metadatas":[${range(count)
          .map(() => `{${members}}`)
          .join(',')}]`,
      ),
    ],
  };
};

/** JSON inside JSON, at and beyond the depth at which serde stops. */
export const depth: Draw = (random) => {
  const levels = oneOf(random, [10, 63, 64, 100, 125, 126, 127, 128, 129, 1_000, 100_000]);
  const [open, close] = oneOf(random, [
    ['[', ']'],
    ['{"a":', '}'],
  ] as const);
  const nested = `${open.repeat(levels)}1${close.repeat(levels)}`;
  const place = oneOf(random, ['unknown field', 'metadata', 'embedding', 'where'] as const);
  const bodies: Readonly<Record<typeof place, () => ReturnType<typeof post>>> = {
    'unknown field': () => post('upsert', `{"ids":["d"],"embeddings":[[1,1,2]],"unknown":${nested}}`),
    metadata: () => post('upsert', `{"ids":["d"],"embeddings":[[1,1,2]],"metadatas":[{"a":${nested}}]}`),
    embedding: () => post('add', `{"ids":["d"],"embeddings":${nested}}`),
    where: () => post('delete', `{"where":${nested}}`),
  };
  return { about: `${levels} levels of ${open}${close} as ${place}`, operations: () => [bodies[place]()] };
};

/** A body just below and just above the largest one that servers take, 40 MiB. */
export const largestBodies: Draw = (random) => {
  const bytes = 41_943_040 + oneOf(random, [-1, 0, 1, 4_096]);
  const [before, after] = ['{"ids":["r1"],"include":[],"unknown":"', '"}'];
  const body = (): string => `${before}${'x'.repeat(bytes - before.length - after.length)}${after}`;
  return { about: `get with a body of ${bytes} bytes`, operations: () => [post('get', body())] };
};
