import { expect, test } from 'vitest';
import { allowedOlderMethods, matchOlderRoute } from './routes.ts';

test.each([
  ['GET', '/api/v1', 'heartbeat', {}],
  ['GET', '/api/v1/', 'heartbeat', {}],
  ['GET', '/api/v1/heartbeat', 'heartbeat', {}],
  ['POST', '/api/v1/collections/', 'create_collection', {}],
  ['GET', '/api/v1/collections/a%20b', 'get_collection', { collection: 'a b' }],
  ['DELETE', '/api/v1/collections/x', 'delete_collection', { collection: 'x' }],
  ['POST', '/api/v1/collections/x/get', 'get', { collection: 'x' }],
  ['GET', '/api/v1/collections/x/get', 'get', { collection: 'x' }],
  ['GET', '/api/v1/databases/d', 'get_database', { database: 'd' }],
])('serves %s %s by the v2 route %s', (method, path, serves, params) => {
  expect(matchOlderRoute(method, path)).toMatchObject({ route: { serves }, params });
});

test.each([
  '/api/v1x',
  '/api/v2',
  '/api/v1/raw_sql',
  '/api/v1/collections//get',
  '/api/v1/collections/%ff',
  '/',
])('does not know %s', (path) => {
  expect(matchOlderRoute('GET', path)).toBe('not_found');
  expect(allowedOlderMethods(path)).toBe('');
});

test('names the methods of a path', () => {
  expect(matchOlderRoute('PATCH', '/api/v1/collections/x')).toBe('method_not_allowed');
  expect(allowedOlderMethods('/api/v1/collections/x')).toBe('GET,PUT,DELETE');
});
