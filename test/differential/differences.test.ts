// Each documented difference accepts its case, and rejects what only looks like it.

import { expect, test } from 'vitest';
import { RESPONSE_DIFFERENCES, type Exchange, SPARED_DIFFERENCES, strayDimension } from './differences.ts';
import type { EndpointResponse } from './endpoint.ts';
import { History } from './history.ts';
import type { Operation } from './operation.ts';
import { MAIN, SIDE } from './schema.ts';

const ID = '5f0c9a34-1111-4222-8333-000000000001';
const PEARS = `${MAIN}/collections/{id:pears}`;

const json = (status: number, value: unknown): EndpointResponse => ({
  status,
  contentType: 'application/json',
  body: Buffer.from(JSON.stringify(value)),
});
const refusal = (status: number, error: string, message: string): EndpointResponse =>
  json(status, { error, message });
const invalid = (message: string): EndpointResponse => refusal(400, 'InvalidArgumentError', message);
const missing = refusal(404, 'NotFoundError', `Collection [${ID}] does not exists.`);
const dropped: EndpointResponse = { status: 0, contentType: '', body: Buffer.alloc(0) };
const OK = json(200, {});

const call = (method: string, path: string, body?: string, action = ''): Operation =>
  body === undefined ? { action, method, path } : { action, method, path, body };
const add = (body: string): Operation => call('POST', `${PEARS}/add`, body, 'add');

/** A collection `pears` of the main database that both sides have shown. */
function history(): History {
  const shown = new History('t');
  const collection = json(200, { id: ID, name: 'pears', tenant: 't', database: 'main-db' });
  shown.note(call('POST', `${MAIN}/collections`), collection, collection);
  shown.note(add('{"ids":["stored"]}'), OK, OK);
  shown.note(update('{"ids":["early","stored"],"embeddings":[[1],[2]]}'), OK, OK);
  return shown;
}

type Case = readonly [operation: Operation, a: EndpointResponse, b: EndpointResponse];

interface Sample {
  readonly accepts: readonly Case[];
  /** Each differs from an accepted one in one respect. */
  readonly rejects: readonly Case[];
}

const RESERVED = refusal(403, 'ChromaError', 'Tenant [polychrome] is reserved for Polychrome itself.');
const INFINITE = invalid('Validation error: embeddings: Embeddings must not contain NaN or Infinity values');
const TOO_LARGE = invalid('Metadata integers must be within signed 64 bits: the server would round this one');
const NO_LIMIT = invalid('limit is not supported: a server of this cluster would ignore it');
const CHROMA_KEY = invalid("Metadata key cannot start with 'chroma:': chroma:document");
const NO_DIMENSION = invalid('Validation error: embeddings: Each embedding must have at least 1 dimension');
const AN_ARRAY = refusal(
  422,
  'ChromaError',
  'Failed to deserialize the JSON body into the target type: invalid type: sequence, expected struct CreateTenantPayload at line 1 column 0',
);
const shape = (rest: string): EndpointResponse =>
  refusal(422, 'ChromaError', `Failed to deserialize the JSON body into the target type: ${rest}`);
const IN_USE = refusal(409, 'ChromaError', 'Collection [apples] already exists');
const UNIQUE = refusal(
  500,
  'InternalError',
  'Database error: error returned from database: (code: 2067) UNIQUE constraint failed: collections.name, collections.database_id',
);
const BAD_NAME = invalid('Validation error: name: Expected a name containing 3-512 characters. Got: x');
const NO_NEIGHBORS = invalid(
  'max_neighbors must be from 2 to 10000: other values end a server or make it hang.',
);
const badKey = (key: string): EndpointResponse =>
  invalid(`Validation error: metadata: Metadata key cannot start with '#' or '$': ${key}`);
const sparse = (key: string): EndpointResponse =>
  refusal(501, 'ChromaError', `Unimplemented: Sparse vector is not supported for local chroma: ${key}`);
const update = (body: string): Operation => call('POST', `${PEARS}/update`, body, 'update');
const remove = (body: string): Operation => call('POST', `${PEARS}/delete`, body);
const create = (body: string): Operation => call('POST', `${MAIN}/collections`, body, 'create collection');

const SAMPLES: Readonly<Record<string, Sample>> = {
  'reserved tenant': {
    accepts: [
      [call('GET', '/api/v2/tenants/polychrome/databases'), RESERVED, OK],
      [call('POST', '/api/v2/tenants', '{"name":"polychrome"}'), RESERVED, OK],
    ],
    rejects: [
      [call('GET', '/api/v2/tenants/polychrome2/databases'), RESERVED, OK],
      [call('POST', '/api/v2/tenants', '{"name":"polychromes"}'), RESERVED, OK],
      [call('GET', '/api/v2/tenants/polychrome/databases'), { ...RESERVED, status: 404 }, OK],
    ],
  },
  'collection of another database': {
    accepts: [
      [call('GET', `${SIDE}/collections/{id:pears}/count`), missing, OK],
      [call('POST', '/api/v2/tenants/other/databases/main-db/collections/{id:pears}/add', '{}'), missing, OK],
    ],
    rejects: [
      [call('GET', `${PEARS}/count`), missing, OK],
      [call('GET', `${SIDE}/collections/{id:apples}/count`), missing, OK],
      [call('GET', `${SIDE}/collections/{id:pears}/count`), { ...missing, status: 500 }, OK],
    ],
  },
  'chroma: metadata key': {
    accepts: [[add('{"ids":["a"],"metadatas":[{"chroma:document":"x"}]}'), CHROMA_KEY, OK]],
    rejects: [
      [add('{"ids":["a"],"metadatas":[{"chroma":"chroma:document"}]}'), invalid('other'), OK],
      [add('{"ids":["a"],"metadatas":[{"chroma":1}]}'), CHROMA_KEY, OK],
      [call('POST', `${PEARS}/get`, '{"where":{"chroma:document":"x"}}'), CHROMA_KEY, OK],
    ],
  },
  'embedding beyond 32-bit floats': {
    accepts: [[add('{"ids":["a"],"embeddings":[[1,-1e39]]}'), INFINITE, OK]],
    rejects: [
      [add('{"ids":["a"],"embeddings":[[1,3.4e38]]}'), INFINITE, OK],
      [add('{"ids":["a"],"embeddings":[[1,2]],"metadatas":[{"n":1e39}]}'), INFINITE, OK],
      [add('{"ids":["1e39"],"embeddings":[[1,2]]}'), INFINITE, OK],
      [call('POST', `${PEARS}/query`, '{"embeddings":[[1e39]]}'), INFINITE, OK],
    ],
  },
  'metadata integer beyond 64 bits': {
    accepts: [
      [add('{"metadatas":[{"n":9223372036854775808}]}'), TOO_LARGE, OK],
      [add('{"metadatas":[{"n":-9223372036854775809}]}'), TOO_LARGE, OK],
    ],
    rejects: [
      [add('{"metadatas":[{"n":9223372036854775807}]}'), TOO_LARGE, OK],
      [add('{"metadatas":[{"n":-9223372036854775808}]}'), TOO_LARGE, OK],
      [add('{"metadatas":[{"n":9223372036854775808.0}]}'), TOO_LARGE, OK],
      [add('{"embeddings":[[9223372036854775808]]}'), TOO_LARGE, OK],
    ],
  },
  'empty embedding in an update': {
    accepts: [
      [update('{"ids":["a","b"],"embeddings":[null,""]}'), NO_DIMENSION, OK],
      [update('{"ids":["a","b"],"embeddings":[[1.5,2], []]}'), NO_DIMENSION, OK],
    ],
    rejects: [
      [update('{"ids":["a"],"embeddings":[[1]],"documents":[""]}'), NO_DIMENSION, OK],
      [update('{"ids":["a"],"embeddings":[],"documents":[[]]}'), NO_DIMENSION, OK],
      [add('{"ids":["a"],"embeddings":[""]}'), NO_DIMENSION, OK],
      [update('{"ids":["a"],"embeddings":[[]]}'), OK, OK],
    ],
  },
  'fields in an array': {
    accepts: [[call('POST', '/api/v2/tenants', ' ["name"]'), AN_ARRAY, OK]],
    rejects: [
      [call('POST', '/api/v2/tenants', '{"name":[]}'), AN_ARRAY, OK],
      [remove('[["a"]]'), AN_ARRAY, OK],
      [call('POST', `${PEARS}/query`, '[[[1]]]'), AN_ARRAY, OK],
      [
        call('POST', '/api/v2/tenants', '["name"]'),
        shape('name: invalid type: sequence, expected a string at '),
        OK,
      ],
    ],
  },
  'delete with limit': {
    accepts: [[remove('{"where":{"n":1},"limit":2}'), NO_LIMIT, OK]],
    rejects: [
      [remove('{"where":{"n":1},"limit": null}'), NO_LIMIT, OK],
      [remove('{"where":{"n":1}}'), NO_LIMIT, OK],
      [call('POST', `${PEARS}/get`, '{"limit":2}'), NO_LIMIT, OK],
      [remove('{"where":{"n":1},"limit":2}'), invalid('Invalid where clause'), OK],
    ],
  },
  'rename to a name in use': {
    accepts: [[call('PUT', PEARS, '{"new_name":"apples"}'), IN_USE, UNIQUE]],
    rejects: [
      [call('PUT', PEARS, '{"new_name":"apples"}'), OK, UNIQUE],
      [call('PUT', PEARS, '{"new_name":"apples"}'), IN_USE, refusal(500, 'InternalError', 'disk I/O error')],
      [create('{"name":"apples"}'), IN_USE, UNIQUE],
    ],
  },
  'update before its record': {
    accepts: [
      [
        call('POST', `${PEARS}/get`, '{}'),
        json(200, { ids: ['early', 'stored'], embeddings: [[1], [2]], documents: null }),
        json(200, { ids: ['early', 'stored'], embeddings: [[3], [2]], documents: null }),
      ],
    ],
    rejects: [
      { embeddings: [[1], [3]], documents: null },
      { embeddings: [[3], [2]], documents: ['x'] },
      { embeddings: [[3], [3]], documents: null },
      { embeddings: [[3]], documents: null },
    ].map((theirs): Case => {
      const ours = { ids: ['early', 'stored'], embeddings: [[1], [2]], documents: null };
      return [call('POST', `${PEARS}/get`, '{}'), json(200, ours), json(200, { ids: ours.ids, ...theirs })];
    }),
  },
  'collection that ends servers': {
    accepts: [
      [create('{"name":"apples","configuration":{"hnsw":{"max_neighbors":0}}}'), NO_NEIGHBORS, OK],
      [create('{"name":"apples","metadata":{"hnsw:M":0}}'), NO_NEIGHBORS, OK],
      [call('PUT', PEARS, '{"new_configuration":{"hnsw":{"max_neighbors":0}}}'), NO_NEIGHBORS, OK],
    ],
    rejects: [
      [create('{"name":"apples","configuration":{"hnsw":{"max_neighbors":2}}}'), NO_NEIGHBORS, OK],
      [create('{"name":"apples","configuration":{"hnsw":{"max_neighbors":9999}}}'), NO_NEIGHBORS, OK],
      [create('{"name":"apples","configuration":{"hnsw":{"max_neighbors":0}}}'), BAD_NAME, OK],
      [add('{"ids":["a"],"metadatas":[{"hnsw:M":0}]}'), NO_NEIGHBORS, OK],
    ],
  },
  'which of several keys': {
    accepts: [
      [create('{"metadata":{"#a":1,"$b":2}}'), badKey('#a'), badKey('$b')],
      [add('{"metadatas":[{"a":{},"b":{}}]}'), sparse('a'), sparse('b')],
    ],
    rejects: [
      [create('{"metadata":{"#a":1}}'), badKey('#a'), badKey('$b')],
      [create('{"metadata":{"#a":1,"$b":2}}'), badKey('#a'), sparse('$b')],
      [create('{"metadata":{"#a":1,"$b":2}}'), badKey('#a'), OK],
    ],
  },
  'lists in the metadata of a collection': {
    accepts: [
      [create('{"name":"apples","metadata":{"a":[1]}}'), refusal(501, 'ChromaError', 'Lists'), dropped],
      [
        call('PUT', PEARS, '{"new_metadata":{"a":{"indices":[]}}}'),
        refusal(501, 'ChromaError', 'Lists'),
        dropped,
      ],
    ],
    rejects: [
      [create('{"name":"apples","metadata":{"a":"x"}}'), refusal(501, 'ChromaError', 'Lists'), dropped],
      [create('{"name":"apples","metadata":{"a":[1]}}'), dropped, dropped],
      [create('{"name":"apples","metadata":{"a":[1]}}'), refusal(501, 'ChromaError', 'Lists'), OK],
      [add('{"metadata":{"a":[1]}}'), refusal(501, 'ChromaError', 'Lists'), dropped],
    ],
  },
  'query for zero rows after a delete': {
    accepts: [[call('POST', `${PEARS}/query`, '{"n_results":0}'), json(200, { ids: [[], []] }), dropped]],
    rejects: [
      [call('POST', `${PEARS}/query`, '{"n_results":0}'), json(200, { ids: [[], ['a']] }), dropped],
      [call('POST', `${PEARS}/query`, '{"n_results":0}'), dropped, dropped],
      [call('POST', `${PEARS}/query`, '{"n_results":0}'), json(200, { ids: [[]] }), OK],
      [call('POST', `${PEARS}/query`, '{"n_results":1}'), json(200, { ids: [[]] }), dropped],
      [call('POST', `${PEARS}/get`, '{"n_results":0}'), json(200, { ids: [[]] }), dropped],
    ],
  },
  'collection by resource name': {
    accepts: [
      [call('GET', '/api/v2/collections/t:d:pears'), refusal(501, 'InternalError', 'not supported'), dropped],
    ],
    rejects: [
      [call('GET', '/api/v2/collections/t:d:pears'), OK, dropped],
      [call('GET', '/api/v2/collections/t:d:pears'), dropped, dropped],
      [call('GET', `${PEARS}/count`), refusal(501, 'InternalError', 'not supported'), dropped],
    ],
  },
};

const ALL = [...SPARED_DIFFERENCES, ...RESPONSE_DIFFERENCES];

test('each has a sample', () => {
  expect(Object.keys(SAMPLES).sort()).toEqual(ALL.map(({ name }) => name).sort());
});

for (const difference of ALL) {
  const { accepts, rejects } = SAMPLES[difference.name]!;
  const applies = ([operation, a, b]: Case): boolean => {
    const exchange: Exchange = { operation, history: history(), a, b };
    return difference.applies(exchange);
  };
  test.each(accepts)(`${difference.name}: accepts case %#`, (...given) => {
    expect(applies(given)).toBe(true);
  });
  test.each(rejects)(`${difference.name}: rejects near miss %#`, (...given) => {
    expect(applies(given)).toBe(false);
  });
}

test('no difference accepts a loss', () => {
  const operation = call('POST', `${PEARS}/get`, '{}', 'get');
  for (const a of [json(200, { ids: [] }), missing, dropped, refusal(500, 'InternalError', 'x'), NO_LIMIT]) {
    const exchange = { operation, history: history(), a, b: json(200, { ids: ['a'] }) };
    expect(ALL.filter((one) => one.applies(exchange))).toEqual([]);
  }
});

test('a dimension is stray only when the bare server alone has one', () => {
  expect(strayDimension(json(200, { dimension: null }), json(200, { dimension: 3 }))).toBe(3);
  expect(strayDimension(json(200, { dimension: 3 }), json(200, { dimension: null }))).toBeNull();
  expect(strayDimension(json(200, { dimension: 2 }), json(200, { dimension: 3 }))).toBeNull();
  expect(strayDimension(json(200, { dimension: null }), json(200, { dimension: null }))).toBeNull();
  expect(strayDimension(json(404, { dimension: null }), json(200, { dimension: 3 }))).toBeNull();
});
