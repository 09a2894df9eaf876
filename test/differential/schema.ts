// Operations on tenants, databases and collections.

import fc from 'fast-check';
import { type Content, content } from './distort.ts';
import type { Operation } from './operation.ts';
import { type Fields, type JsonText, metadata } from './values.ts';

/** Made before a sequence starts; its tenant is this run's own. */
export const DATABASES = ['main-db', 'side-db'] as const;
export const MAIN = `/api/v2/tenants/{tenant}/databases/${DATABASES[0]}`;
export const SIDE = `/api/v2/tenants/{tenant}/databases/${DATABASES[1]}`;
const TENANT = '/api/v2/tenants/{tenant}';

/** Names that are calls, that need care in a path, that look like each other: all of them allowed. */
export const COLLECTIONS = ['pears', 'apples', 'get', 'query', 'a.b-c_d', 'Pears'] as const;
export const collectionName = fc.constantFrom(...COLLECTIONS);

const oddName = fc.constantFrom(
  ...[
    '',
    'x',
    'ab',
    '-ab',
    'ab-',
    'a..b',
    'a/b',
    'é-é',
    '🍐🍐🍐',
    '192.168.0.1',
    'a b',
    'a%2Fb',
    '../x',
    '.',
  ],
  ...[
    "'; DROP TABLE collections; --",
    'a'.repeat(512),
    'a'.repeat(513),
    'by-id',
    'abc\n',
    '00000000-0000',
    '{}',
  ],
  ...['us+name', 'collections', 'null', 'a\u0000b', '%', 'add', 'count', '::1', '1.2.3'],
);
const anyName = fc.oneof({ weight: 8, arbitrary: collectionName }, { weight: 2, arbitrary: oddName });

const configuration: JsonText = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom('null', '{}', '{"hnsw":{"space":"l2"}}', '{"hnsw":{"space":"cosine"}}'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('{"hnsw":{"space":"ip","ef_search":50,"max_neighbors":8}}', '{"hnsw":{}}'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '{"spann":{"space":"cosine"}}',
        '{"hnsw":{},"spann":{}}',
        '{"hnsw":{"space":"nope"}}',
        '{"hnsw":null}',
        '{"hnsw":{"max_neighbors":0}}',
        '{"hnsw":{"max_neighbors":50000}}',
      ],
      ...[
        '{"hnsw":{"ef_search":"x"}}',
        '{"hnsw":{"unknown":1}}',
        '{"unknown":1}',
        '{"hnsw":{"resize_factor":1.5}}',
      ],
      ...['{"embedding_function":{"type":"known","name":"default","config":{"a":1.0}}}'],
      ...['{"embedding_function":{"type":"legacy"}}', '{"embedding_function":{"type":"nope"}}'],
    ),
  },
);
const newConfiguration: JsonText = fc.constantFrom(
  ...[
    'null',
    '{}',
    '{"hnsw":{"ef_search":50}}',
    '{"hnsw":{"space":"cosine"}}',
    '{"hnsw":{"unknown":1}}',
    '{"spann":{}}',
  ],
  ...[
    '{"hnsw":{"ef_search":-1}}',
    '{"hnsw":{"max_neighbors":0}}',
    '{"embedding_function":{"type":"legacy"}}',
    '{"hnsw":{"resize_factor":1.5}}',
  ],
);

const field = (name: string, value: JsonText, present: number): fc.Arbitrary<Fields> =>
  fc.oneof(
    { weight: Math.round(100 - 10 * present), arbitrary: fc.constant<Fields>([]) },
    { weight: Math.round(10 * present), arbitrary: value.map((given): Fields => [[name, given]]) },
  );
const nameField = (name: string, names: fc.Arbitrary<string>): fc.Arbitrary<Fields> =>
  names.map((given): Fields => [[name, JSON.stringify(given)]]);
const fields = (...parts: fc.Arbitrary<Fields>[]): fc.Arbitrary<Fields> =>
  fc.tuple(...parts).map((lists) => lists.flat());

const collectionMetadata = fc.oneof(
  { weight: 6, arbitrary: metadata },
  { weight: 1, arbitrary: fc.constant('null') },
);
const creation = fields(
  nameField('name', anyName),
  field('get_or_create', fc.constantFrom('true', 'true', 'false', 'null'), 4),
  field('metadata', collectionMetadata, 4),
  field('configuration', configuration, 3),
  field('schema', fc.constantFrom('null', '{}', '1'), 0.3),
  field('id', fc.constant('"00000000-0000-4000-8000-000000000001"'), 0.3),
);
const modification = fields(
  anyName.chain((name) => field('new_name', fc.constant(JSON.stringify(name)), 5)),
  field('new_metadata', collectionMetadata, 5),
  field('new_configuration', newConfiguration, 3),
);

const page = fc.oneof(
  { weight: 5, arbitrary: fc.constant('') },
  {
    weight: 3,
    arbitrary: fc.constantFrom('?limit=1', '?offset=1', '?limit=2&offset=1', '?limit=0', '?offset=100'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...[
        '?limit=-1',
        '?limit=x',
        '?limit=',
        '?limit=1&limit=2',
        '?limit=4294967296',
        '?nope=1',
        '?',
        '?limit=1.0',
      ],
      ...['?limit=%31', '?offset=2147483648', '?limit=18446744073709551615'],
    ),
  },
);

const database = fc.oneof(
  { weight: 8, arbitrary: fc.constant(MAIN) },
  { weight: 2, arbitrary: fc.constant(SIDE) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(`${TENANT}/databases/nonesuch`, `/api/v2/tenants/nonesuch/databases/main-db`),
  },
);

const read = (action: string, path: fc.Arbitrary<string>): fc.Arbitrary<Operation> =>
  path.map((given) => ({ action, method: 'GET', path: given }));
const send = (
  action: string,
  method: string,
  path: fc.Arbitrary<string>,
  body: fc.Arbitrary<Content>,
): fc.Arbitrary<Operation> =>
  fc.tuple(path, body).map(([to, given]) => ({ action, method, path: to, ...given }));
const remove = (action: string, path: fc.Arbitrary<string>): fc.Arbitrary<Operation> =>
  path.map((given) => ({ action, method: 'DELETE', path: given }));

const collections = database.map((path) => `${path}/collections`);
const under = (parent: fc.Arbitrary<string>, names: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(parent, names).map(([path, name]) => `${path}/${encodeURIComponent(name)}`);
const collection = fc.oneof(
  { weight: 8, arbitrary: under(collections, collectionName) },
  {
    weight: 1,
    arbitrary: under(
      collections,
      oddName.filter((name) => name !== '.'),
    ),
  },
  // By its id, where a name is wanted.
  { weight: 1, arbitrary: collectionName.map((name) => `${MAIN}/collections/{id:${name}}`) },
);

const createCollection = send('create collection', 'POST', collections, content(creation));

/** A collection that is there for sure. */
export const firstCollection = (name: string): fc.Arbitrary<Operation> =>
  fc
    .constantFrom('', ',"metadata":{"weight":1.0}', ',"configuration":{"hnsw":{"space":"cosine"}}')
    .map((rest) => ({
      action: 'create collection',
      method: 'POST',
      path: `${MAIN}/collections`,
      body: `{"name":${JSON.stringify(name)}${rest}}`,
    }));

/** Operations on collections; `byId` is where a modification goes. */
export function collectionOperation(byId: fc.Arbitrary<string>): fc.Arbitrary<Operation> {
  return fc.oneof(
    { weight: 6, arbitrary: createCollection },
    { weight: 4, arbitrary: read('get collection', collection) },
    {
      weight: 3,
      arbitrary: read(
        'list collections',
        fc.tuple(collections, page).map((parts) => parts.join('')),
      ),
    },
    {
      weight: 2,
      arbitrary: read(
        'count collections',
        database.map((path) => `${path}/collections_count`),
      ),
    },
    { weight: 5, arbitrary: send('modify collection', 'PUT', byId, content(modification)) },
    { weight: 3, arbitrary: remove('delete collection', collection) },
    {
      weight: 1,
      arbitrary: send(
        'fork collection',
        'POST',
        byId.map((path) => `${path}/fork`),
        content(nameField('new_name', anyName)),
      ),
    },
  );
}

const databaseName = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('side-db', 'third-db', 'main-db') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'get',
      'a/b',
      'é 🍐',
      'collections',
      '%2F',
      'x',
      '',
      '...',
      "';--",
      'a'.repeat(300),
    ),
  },
);
// Not the main one: a sequence without it has little left to say.
const doomedDatabase = fc.constantFrom(
  'side-db',
  'third-db',
  'third-db',
  'get',
  'a/b',
  'é 🍐',
  'nonesuch',
  '%2F',
);
const databases = fc.constantFrom(
  `${TENANT}/databases`,
  `${TENANT}/databases`,
  `${TENANT}-nonesuch/databases`,
);

export const databaseOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: send('create database', 'POST', databases, content(nameField('name', databaseName))),
  },
  { weight: 3, arbitrary: read('get database', under(databases, databaseName)) },
  {
    weight: 2,
    arbitrary: read(
      'list databases',
      fc.tuple(databases, page).map((parts) => parts.join('')),
    ),
  },
  { weight: 3, arbitrary: remove('delete database', under(databases, doomedDatabase)) },
);

// Tenants live as long as their server: every name is this run's own, or refused.
const tenantName = fc.constantFrom('{tenant}', '{tenant}-2', '{tenant}/é 🍐', '{tenant}%2F', '', 'x', 'ab');

export const tenantOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 2,
    arbitrary: send(
      'create tenant',
      'POST',
      fc.constant('/api/v2/tenants'),
      content(nameField('name', tenantName)),
    ),
  },
  {
    weight: 2,
    arbitrary: read(
      'get tenant',
      fc.constantFrom(
        TENANT,
        `${TENANT}-2`,
        `${TENANT}%2F%C3%A9%20%F0%9F%8D%90`,
        '/api/v2/tenants/default_tenant',
      ),
    ),
  },
  {
    weight: 1,
    arbitrary: send(
      'modify tenant',
      'PATCH',
      fc.constantFrom(TENANT, `${TENANT}-2`),
      content(nameField('resource_name', fc.constantFrom('one', ''))),
    ),
  },
);
