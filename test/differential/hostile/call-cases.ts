// Counts, pages, names and index settings at the edges of their types.

import { oneOf, range } from '../../support/draw.ts';
import type { Operation } from '../operation.ts';
import { MAIN } from '../schema.ts';
import { type Draw, post } from './hostile-case.ts';

const COUNTS = [
  ...['0', '1', '11', '12', '13', '32766', '32767', '40000', '2147483647', '2147483648', '4294967295'],
  ...[
    '4294967296',
    '9223372036854775807',
    '18446744073709551615',
    '18446744073709551616',
    '-1',
    '1.5',
    '1e3',
  ],
];

export const resultCounts: Draw = (random) => {
  const count = oneOf(random, COUNTS);
  const queries = oneOf(random, [1, 2, 50]);
  const deleted = oneOf(random, [0, 1, 12]);
  const vectors = range(queries).map((n) => [n, 1, 2]);
  const before = deleted === 0 ? [] : [post('delete', { ids: range(deleted).map((n) => `r${n}`) })];
  return {
    about: `${queries} query vectors for ${count} results, ${deleted} records deleted`,
    operations: () => [
      ...before,
      post(
        'query',
        `{"query_embeddings":${JSON.stringify(vectors)},"n_results":${count},"include":["distances"]}`,
      ),
    ],
  };
};

export const pages: Draw = (random) => {
  const [limit, offset] = [oneOf(random, COUNTS), oneOf(random, COUNTS)];
  const list: Operation = {
    action: 'list',
    method: 'GET',
    path: `${MAIN}/collections?limit=${limit}&offset=${offset}`,
  };
  const get = post('get', `{"limit":${limit},"offset":${offset},"include":["documents"]}`);
  const isList = random() < 0.3;
  return {
    about: `${isList ? 'list' : 'get'} with limit ${limit} and offset ${offset}`,
    operations: () => [isList ? list : get],
  };
};

export const names: Draw = (random) => {
  const length = oneOf(random, [0, 1, 2, 3, 63, 64, 128, 255, 511, 512, 513, 10_000, 60_000]);
  const what = oneOf(random, ['collection', 'rename', 'database', 'look up'] as const);
  const name = 'n'.repeat(length);
  const bodies: Readonly<Record<typeof what, Operation>> = {
    collection: {
      action: 'create',
      method: 'POST',
      path: `${MAIN}/collections`,
      body: JSON.stringify({ name }),
    },
    rename: {
      action: 'rename',
      method: 'PUT',
      path: `${MAIN}/collections/{id:pears}`,
      body: JSON.stringify({ new_name: name }),
    },
    database: {
      action: 'create database',
      method: 'POST',
      path: '/api/v2/tenants/{tenant}/databases',
      body: JSON.stringify({ name }),
    },
    'look up': { action: 'look up', method: 'GET', path: `${MAIN}/collections/${name}` },
  };
  return { about: `${what} with a name of ${length} characters`, operations: () => [bodies[what]] };
};

/**
 * Values of each index setting. max_neighbors, ef_construction and ef_search of 0 and of 50,000 or more are left out:
 * they end or hang a server, and caps for them do not exist yet.
 */
const INDEX_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  max_neighbors: ['2', '3', '128', '1000'],
  ef_construction: ['1', '2', '4096'],
  ef_search: ['1', '2', '4096'],
  num_threads: ['1', '64'],
  resize_factor: ['1.0', '1.01', '10.0'],
  sync_threshold: ['2', '3', '2147483647'],
  batch_size: ['2', '3', '2147483647'],
  space: ['"l2"', '"cosine"', '"ip"', '"nonesuch"', '1'],
};

export const indexSettings: Draw = (random) => {
  const chosen = [0, 1].map(() => oneOf(random, Object.keys(INDEX_SETTINGS)));
  const settings = [...new Set(chosen)].map((name) => `"${name}":${oneOf(random, INDEX_SETTINGS[name]!)}`);
  const records = range(200).map((n) => `s${n}`);
  return {
    about: `200 records in an index with ${settings.join(', ')}`,
    operations: () => [
      {
        action: 'create collection',
        method: 'POST',
        path: `${MAIN}/collections`,
        body: `{"name":"apples","configuration":{"hnsw":{${settings.join(',')}}}}`,
      },
      {
        action: 'add',
        method: 'POST',
        path: `${MAIN}/collections/{id:apples}/add`,
        body: JSON.stringify({ ids: records, embeddings: records.map((_, n) => [n, 1]) }),
      },
      { action: 'count', method: 'GET', path: `${MAIN}/collections/{id:apples}/count` },
    ],
  };
};
