// Operations on HTTP itself: what describes the server, wrong methods, unknown routes, odd paths and headers.

import fc from 'fast-check';
import type { Operation } from './operation.ts';
import { MAIN } from './schema.ts';

const get = (path: string): Operation => ({ action: 'read', method: 'GET', path });

const described: fc.Arbitrary<Operation> = fc
  .constantFrom(
    ...[
      '/api/v2',
      '/api/v2/heartbeat',
      '/api/v2/version',
      '/api/v2/pre-flight-checks',
      '/api/v2/auth/identity',
    ],
    ...['/api/v2/healthcheck'],
  )
  .map(get);

const PEARS = `${MAIN}/collections/{id:pears}`;

const oddPath: fc.Arbitrary<Operation> = fc
  .constantFrom(
    ...[
      '/api/v2/collections/tenant:database:pears',
      '/',
      '/api',
      '/api/v2/',
      '/api/v3',
      '/api/v2/nonesuch',
      '/api/v2/heartbeat/',
      '/API/v2/heartbeat',
      '//api/v2',
    ],
    ...['/api/v1/raw_sql', '/api/v2/tenants', '/api/v2/tenants/', '/nonesuch'],
    ...[
      `${MAIN}/`,
      `${MAIN}/collections/`,
      `${MAIN}/collections//`,
      `${MAIN}//collections`,
      `${MAIN}/nonesuch`,
    ],
    ...[`${MAIN}/collections/pears/`, `${MAIN}/collections/%70ears`, `${MAIN}/collections/pears%20`],
    ...[
      `${MAIN}/collections/%`,
      `${MAIN}/collections/%zz`,
      `${MAIN}/collections/%ff`,
      `${MAIN}/collections/%00`,
    ],
    ...[
      '/api/v2/tenants/%ff/databases',
      '/api/v2/tenants/a%2',
      '/api/v2/%74enants/{tenant}',
      '/api%2Fv2/heartbeat',
    ],
    ...[
      `${MAIN}/collections/../collections`,
      `${MAIN}/collections/%2e%2e/collections`,
      `${MAIN}/./collections`,
    ],
    ...[`${MAIN}/collections?`, `${MAIN}/collections/pears?limit=x`, `${MAIN}/collections/pears#fragment`],
    ...[
      `${PEARS}/count/`,
      `${PEARS}/count?read_level=nope`,
      `${PEARS}/counts`,
      `${PEARS}/get`,
      `${PEARS}/add`,
    ],
    ...[
      `${PEARS}/fork_count`,
      `${PEARS}/indexing_status`,
      `${PEARS}/functions/nonesuch`,
      `${MAIN}/collections_count/`,
    ],
    ...[`${MAIN}/collections/by-id/{id:pears}`],
  )
  .map((path) => ({ action: 'odd path', method: 'GET', path }));

const oddMethod: fc.Arbitrary<Operation> = fc
  .tuple(
    fc.constantFrom('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND'),
    fc.constantFrom(
      ...[
        '/api/v2/heartbeat',
        '/api/v2/version',
        '/api/v1/raw_sql',
        '/api/v2/tenants',
        '/api/v2/tenants/{tenant}',
      ],
      ...[
        `${MAIN}/collections_count`,
        `${MAIN}/nonesuch`,
        `${PEARS}/count`,
        `${PEARS}/nonesuch`,
        '/nonesuch',
      ],
      ...['/api/v2/auth/identity', '/api/v2/healthcheck'],
    ),
  )
  // The one allowed among them, which no sequence undoes.
  .filter(([method, path]) => !(method === 'POST' && path === '/api/v2/tenants'))
  .map(([method, path]) => ({ action: 'odd method', method, path }));

const idWritten = fc.constantFrom(
  ...[
    '{id:pears}x',
    'nonesuch',
    '%7B{id:pears}%7D',
    '00000000-0000-0000-0000-000000000000',
    '0',
    '{id:pears}%20',
    '%20',
  ],
  ...['ffffffff-ffff-ffff-ffff-ffffffffffff', '{id:pears}/', 'pears', ''],
);
const oddId: fc.Arbitrary<Operation> = fc
  .tuple(idWritten, fc.constantFrom('get', 'add', 'delete', 'query', 'update', 'upsert'))
  .map(([id, call]) => ({
    action: 'odd id',
    method: 'POST',
    path: `${MAIN}/collections/${id}/${call}`,
    body: '{"ids":["a"],"embeddings":[[1,2,3]],"query_embeddings":[[1,2,3]]}',
  }));

const oddHeaders: fc.Arbitrary<Operation> = fc
  .tuple(
    fc.constantFrom<Readonly<Record<string, string>>[]>(
      {},
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=utf-8' },
      { 'content-type': 'APPLICATION/JSON' },
      { 'content-type': 'application/vnd.api+json' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': '' },
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      { 'content-type': 'application/json', authorization: 'Bearer x', 'x-chroma-token': 'x' },
      { 'content-type': 'application/json', accept: 'text/html' },
    ),
    fc.constantFrom('get', 'add', 'delete', 'query', 'update', 'upsert'),
  )
  .map(([headers, call]) => ({
    action: 'odd headers',
    method: 'POST',
    path: `${PEARS}/${call}`,
    headers,
    body: '{"ids":["a"],"embeddings":[[1,2,3]],"query_embeddings":[[1,2,3]]}',
  }));

const unsupported: fc.Arbitrary<Operation> = fc.constantFrom<Operation[]>(
  { action: 'reset', method: 'POST', path: '/api/v2/reset' },
  { action: 'search', method: 'POST', path: `${PEARS}/search`, body: '{"searches":[]}' },
  { action: 'get', method: 'GET', path: `${PEARS}/get`, body: '{}' },
  {
    action: 'attach function',
    method: 'POST',
    path: `${PEARS}/functions/attach`,
    body: '{"name":"f","function_id":"g","output_collection":"out"}',
  },
);

export const protocolOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: described },
  { weight: 4, arbitrary: oddPath },
  { weight: 2, arbitrary: oddMethod },
  { weight: 2, arbitrary: oddId },
  { weight: 2, arbitrary: oddHeaders },
  { weight: 1, arbitrary: unsupported },
);
