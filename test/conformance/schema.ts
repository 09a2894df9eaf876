// Tenants, databases and collections: create, find, change and drop them, and send malformed requests.

import { adds, answers, counts, empty, invalid, misshapen, refuses, request, behaviour } from './steps.ts';
import { COLLECTIONS, NO_SUCH_ID, type Behaviour, type ConversationStep } from './subject.ts';

const TENANTS = '/api/v2/tenants';
const MINE = `${TENANTS}/tenant-{n}/databases`;
const IN_MINE = `${MINE}/base-{n}/collections`;
const CONFIGURATION =
  '{"hnsw":{"space":"l2","ef_construction":100,"ef_search":100,"max_neighbors":16,"resize_factor":1.2,"sync_threshold":1000},"spann":null,"embedding_function":null}';
const collection = (name: string, metadata: string, dimension = 'null'): string =>
  `{"id":"${NO_SUCH_ID}","name":"${name}","configuration_json":${CONFIGURATION},"metadata":${metadata},"dimension":${dimension},"tenant":"tenant-{n}","database":"base-{n}","log_position":0,"version":0}`;

const makesMine: readonly ConversationStep[] = [
  answers(request('POST', TENANTS, '{"name":"tenant-{n}"}'), '{}'),
  answers(request('POST', MINE, '{"name":"base-{n}"}'), '{}'),
];

export const SCHEMA: readonly Behaviour[] = [
  behaviour(
    'creates tenants and databases once, and finds them by name',
    refuses(request('GET', `${TENANTS}/tenant-{n}`), 404, 'NotFoundError', 'Tenant [tenant-{n}] not found'),
    invalid(request('POST', TENANTS, '{"name":"ab"}'), 'Validation error: name: '),
    ...makesMine,
    answers(request('GET', `${TENANTS}/tenant-{n}`), '{"name":"tenant-{n}","resource_name":null}'),
    refuses(
      request('POST', TENANTS, '{"name":"tenant-{n}"}'),
      409,
      'ChromaError',
      'Tenant [tenant-{n}] already exists',
    ),
    refuses(
      request('POST', MINE, '{"name":"base-{n}"}'),
      409,
      'ChromaError',
      'Database [base-{n}] already exists',
    ),
    answers(request('GET', MINE), `[{"id":"${NO_SUCH_ID}","name":"base-{n}","tenant":"tenant-{n}"}]`),
    answers(
      request('GET', `${MINE}/base-{n}`),
      `{"id":"${NO_SUCH_ID}","name":"base-{n}","tenant":"tenant-{n}"}`,
    ),
    refuses(
      request('GET', `${MINE}/none`),
      404,
      'NotFoundError',
      'Database [none] not found. Are you sure it exists?',
    ),
    refuses(request('DELETE', `${MINE}/none`), 404, 'NotFoundError', 'Database [none] not found'),
  ),
  behaviour(
    'creates a database in a tenant that does not exist',
    answers(request('GET', MINE), '[]'),
    answers(request('POST', MINE, '{"name":"base-{n}"}'), '{}'),
    answers(request('POST', IN_MINE, '{"name":"inside"}'), collection('inside', 'null')),
  ),
  behaviour(
    'creates a collection once, and finds it by its name only',
    invalid(request('POST', IN_MINE, '{"name":"mine"}'), 'Database [base-{n}] does not exist'),
    answers(request('GET', IN_MINE), '[]'),
    ...makesMine,
    answers(
      request('POST', IN_MINE, '{"name":"mine","metadata":{"i":1,"f":1.0,"s":"x","b":true}}'),
      collection('mine', '{"i":1,"f":1.0,"s":"x","b":true}'),
    ),
    refuses(
      request('POST', IN_MINE, '{"name":"mine"}'),
      409,
      'ChromaError',
      'Collection [mine] already exists',
    ),
    answers(
      request('POST', IN_MINE, '{"name":"mine","get_or_create":true,"metadata":{"z":1}}'),
      collection('mine', '{"i":1,"f":1.0,"s":"x","b":true}'),
    ),
    answers(request('GET', `${IN_MINE}/mine`), collection('mine', '{"i":1,"f":1.0,"s":"x","b":true}')),
    answers(request('GET', IN_MINE), `[${collection('mine', '{"i":1,"f":1.0,"s":"x","b":true}')}]`),
    answers(request('GET', `${MINE}/base-{n}/collections_count`), '1'),
    refuses(request('GET', `${COLLECTIONS}/{id}`), 404, 'NotFoundError', 'Collection [{id}] does not exist'),
    refuses(
      request('DELETE', `${COLLECTIONS}/{id}`),
      404,
      'NotFoundError',
      'Collection [{id}] does not exist',
    ),
    answers(request('DELETE', `${IN_MINE}/mine`), '{}'),
    refuses(request('GET', `${IN_MINE}/mine`), 404, 'NotFoundError', 'Collection [mine] does not exist'),
  ),
  behaviour(
    'validates names and metadata of collections',
    ...['a', 'a b', '-ab', 'é-e', 'a..b', '192.168.0.1'].map((name) =>
      invalid(
        request('POST', COLLECTIONS, JSON.stringify({ name })),
        'Validation error: name: Expected a name ',
      ),
    ),
    invalid(
      request('POST', COLLECTIONS, '{"name":"empty-{n}","metadata":{}}'),
      'Validation error: metadata: Metadata cannot be empty',
    ),
    misshapen(request('POST', COLLECTIONS, '{"name":"nested-{n}","metadata":{"a":{"b":1}}}')),
    invalid(request('POST', COLLECTIONS, '{'), 'Failed to parse the request body as JSON: '),
  ),
  behaviour(
    'renames a collection and replaces its metadata by id',
    ...makesMine,
    answers(request('POST', IN_MINE, '{"name":"mine"}'), collection('mine', 'null')),
    answers(request('PUT', `${COLLECTIONS}/{id}`, '{"new_name":"renamed-{n}"}'), '{}'),
    refuses(
      request('GET', `${COLLECTIONS}/talk-{n}`),
      404,
      'NotFoundError',
      'Collection [talk-{n}] does not exist',
    ),
    answers(request('PUT', `${COLLECTIONS}/{id}`, '{"new_name":"renamed-{n}"}'), '{}'),
    refuses(
      request('PUT', `${COLLECTIONS}/{other}`, '{"new_name":"renamed-{n}"}'),
      500,
      'InternalError',
      'Database error: ',
    ),
    answers(request('PUT', `${COLLECTIONS}/{id}`, '{"new_metadata":{"a":1,"b":2}}'), '{}'),
    answers(request('PUT', `${COLLECTIONS}/{id}`, '{"new_metadata":{"c":1.0}}'), '{}'),
    answers(request('PUT', `${COLLECTIONS}/{id}`, '{}'), '{}'),
    answers(
      request('GET', `${COLLECTIONS}/renamed-{n}`),
      collection('renamed-{n}', '{"c":1.0}')
        .replace('tenant-{n}', 'default_tenant')
        .replace('base-{n}', 'default_database'),
    ),
    invalid(
      request('PUT', `${COLLECTIONS}/{id}`, '{"new_metadata":{}}'),
      'Validation error: new_metadata: Metadata cannot be empty',
    ),
    invalid(
      request('PUT', `${COLLECTIONS}/{id}`, '{"new_name":"a"}'),
      'Validation error: new_name: Expected a name ',
    ),
    invalid(
      request('PUT', `${COLLECTIONS}/no-uuid`, '{"new_name":"abc"}'),
      'Collection ID is not a valid UUIDv4',
    ),
    refuses(
      request('PUT', `${COLLECTIONS}/${NO_SUCH_ID}`, '{"new_name":"abc"}'),
      404,
      'NotFoundError',
      `Collection [${NO_SUCH_ID}] does not exist`,
    ),
  ),
  behaviour(
    'drops the collections of a database with it',
    ...makesMine,
    answers(request('POST', IN_MINE, '{"name":"mine"}'), collection('mine', 'null')),
    answers(request('DELETE', `${MINE}/base-{n}`), '{}'),
    answers(request('GET', IN_MINE), '[]'),
    answers(request('POST', MINE, '{"name":"base-{n}"}'), '{}'),
    answers(request('GET', IN_MINE), '[]'),
  ),
  {
    name: 'accepts ids in uppercase and without dashes, and ignores the tenant of the path',
    async run(conversation) {
      const [upper, undashed] = [
        conversation.filled('{id}').toUpperCase(),
        conversation.filled('{id}').replaceAll('-', ''),
      ];
      await conversation.steps(
        adds('{"ids":["a"],"embeddings":[[1]]}', upper),
        counts(1, undashed),
        answers(request('GET', `${TENANTS}/elsewhere/databases/nowhere/collections/{id}/count`), '1'),
      );
    },
  },
  behaviour(
    'responds to an unknown route and to a wrong method without a body',
    empty(request('GET', '/api/v2/nothing-here'), 404),
    empty(request('PATCH', `${COLLECTIONS}/{id}`), 405),
    refuses(request('POST', '/api/v2/reset'), 403, 'ChromaError', 'Reset is disabled by config'),
  ),
];
