// Filters: operators, operands, numbers of conditions and nesting at and beyond what servers take.

import { between, oneOf, range } from '../../support/draw.ts';
import { type Draw, post } from './hostile-case.ts';

// Around the counts at which servers answer 500 (989 conditions, 16,381 operands) and end (5,000 to 20,000).
const COUNTS: readonly (readonly [min: number, max: number])[] = [
  [1, 60],
  [100, 400],
  [950, 1_050],
  [2_000, 4_000],
  [5_000, 12_000],
  [16_370, 16_400],
  [20_000, 40_000],
];

type Condition = (n: number) => object;

const METADATA: Readonly<Record<string, Condition>> = {
  'k equals': (n) => ({ k: n }),
  'k $ne': (n) => ({ k: { $ne: n + 100 } }),
  'k $gt': (n) => ({ k: { $gt: n } }),
  'k $lte float': (n) => ({ k: { $lte: n + 0.5 } }),
  'colour equals': (n) => ({ colour: n % 2 === 0 ? 'red' : `shade ${n}` }),
  'a field each': (n) => ({ [`field_${n}`]: { $ne: n } }),
  'k $in of three': (n) => ({ k: { $in: [n, n + 1, n + 2] } }),
};
const DOCUMENT: Readonly<Record<string, Condition>> = {
  $contains: (n) => ({ $contains: n % 2 === 0 ? 'pear' : `z${n}` }),
  $not_contains: (n) => ({ $not_contains: `z${n}` }),
  $regex: (n) => ({ $regex: `number ${n}$` }),
};

const OPERANDS: Readonly<Record<string, (n: number) => unknown>> = {
  integers: (n) => n,
  floats: (n) => n + 0.5,
  strings: (n) => (n === 0 ? 'red' : `shade ${n}`),
  'the same integer': () => 1,
  'long strings': (n) => `${'s'.repeat(200)}${n}`,
};

const CALLS = ['get', 'get', 'query', 'delete', 'delete'] as const;
type Call = (typeof CALLS)[number];

const withFilter = (action: Call, filter: object): object =>
  action === 'query' ? { query_embeddings: [[1, 2, 3]], ...filter } : filter;

/** `$or` or `$and` of many conditions. */
export const conditions: Draw = (random) => {
  const field = oneOf(random, ['where', 'where_document'] as const);
  const all = field === 'where' ? METADATA : DOCUMENT;
  const name = oneOf(random, Object.keys(all));
  const operator = oneOf(random, ['$or', '$and'] as const);
  const [min, max] = oneOf(random, COUNTS);
  const count = between(random, min, max);
  const action = oneOf(random, CALLS);
  const filter = (): object => ({ [field]: { [operator]: range(count).map(all[name]!) } });
  return {
    about: `${action} with ${field} ${operator} of ${count} × ${name}`,
    operations: () => [post(action, withFilter(action, filter()))],
  };
};

/** `$in` or `$nin` with many operands. */
export const operands: Draw = (random) => {
  const operator = oneOf(random, ['$in', '$nin'] as const);
  const name = oneOf(random, Object.keys(OPERANDS));
  const field = name === 'strings' || name === 'long strings' ? 'colour' : 'k';
  const [min, max] = oneOf(random, COUNTS);
  const count = between(random, min, max);
  const action = oneOf(random, CALLS);
  const filter = (): object => ({
    where: { [field]: { [operator]: range(count).map(OPERANDS[name]!) } },
  });
  return {
    about: `${action} with ${operator} of ${count} ${name}`,
    operations: () => [post(action, withFilter(action, filter()))],
  };
};

/** A condition inside `depth` operators, each with `width` more conditions beside it. */
export const nesting: Draw = (random) => {
  const depth = oneOf(random, [2, 10, 30, between(random, 50, 75), between(random, 120, 130), 400, 5_000]);
  const width = oneOf(random, [0, 0, 1, 3]);
  const field = oneOf(random, ['where', 'where_document'] as const);
  const leaf = field === 'where' ? { k: 1 } : { $contains: 'pear' };
  const action = oneOf(random, CALLS);
  const nested = (): string => {
    const opening = range(depth).map((n) => `{"${n % 2 === 0 ? '$and' : '$or'}":[`);
    const beside = `,${JSON.stringify(leaf)}`.repeat(width);
    return `${opening.join('')}${JSON.stringify(leaf)}${`${beside}]}`.repeat(depth)}`;
  };
  const around = JSON.stringify(withFilter(action, { [field]: '@' }));
  return {
    about: `${action} with ${field} nested ${depth} deep, ${width} beside each`,
    operations: () => [post(action, around.replace('"@"', nested))],
  };
};

/** Both filters and ids at once, each near its own limit. */
export const combined: Draw = (random) => {
  const [metadata, document, ids] = [
    between(random, 1, 700),
    between(random, 1, 700),
    oneOf(random, [0, 1, 500, 16_000, 33_000]),
  ];
  const action = oneOf(random, CALLS);
  const filter = (): object => ({
    where: { $or: range(metadata).map((n) => ({ k: n })) },
    where_document: { $or: range(document).map((n) => ({ $contains: n === 0 ? 'pear' : `z${n}` })) },
    // A query refuses ids that are missing, on each server in its own words.
    ...(ids === 0 || action === 'query' ? {} : { ids: range(ids).map((n) => `r${n}`) }),
  });
  return {
    about: `${action} with ${metadata} and ${document} conditions and ${ids} ids`,
    operations: () => [post(action, withFilter(action, filter()))],
  };
};
