import { describe, expect, test } from 'vitest';
import { canonicalUuid } from '../../chroma/protocol/collection-id.ts';
import { isJsonType } from '../../chroma/protocol/content-type.ts';
import { allowedMethods, decodePercent, matchRoute, type RouteCapabilities } from './routes.ts';

const OLD = { schema: false };
const NEW = { schema: true };
const C = '/api/v2/tenants/t/databases/d/collections';

function route(method: string, path: string, capabilities: RouteCapabilities = OLD): string {
  const match = matchRoute(method, path, capabilities);
  return typeof match === 'string' ? match : match.route.name;
}

function refusal(path: string): unknown {
  try {
    return matchRoute('GET', path, OLD);
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
}

describe('matchRoute', () => {
  test.each([
    ['GET', '/api/v2', 'heartbeat'],
    ['HEAD', '/api/v2/version', 'version'],
    ['POST', `${C}/x/get`, 'get'],
    ['GET', `${C}/get`, 'get_collection'],
    ['POST', `${C}/query/add`, 'add'],
    ['GET', '/api/v2/tenants/collections/databases/query', 'get_database'],
    ['DELETE', `${C}/x`, 'delete_collection'],
    ['OPTIONS', '/api/v1/a/b', 'v1'],
    ['GET', '/api/v1/%ff', 'v1'],
    ['POST', `${C}//add`, 'add'],
    ['GET', '/docs/', 'docs'],
    ['GET', '/docs/swagger-ui.css', 'docs'],
  ])('%s %s is %s', (method, path, name) => {
    expect(route(method, path)).toBe(name);
  });

  test.each([
    '/',
    '/api/v2/',
    '/api/v2/heartbeat/',
    '/API/v2/heartbeat',
    '//api/v2/heartbeat',
    '/api/v2/%68eartbeat',
    '/api/v2/../v2/heartbeat',
    '/api/v1',
    '/api/v1/',
    '/api/v2/tenants//databases',
    '/api/v2/tenants/t/databases//collections',
    `${C}/`,
    `${C}/x/get/y`,
    `${C}/x/revisions`,
    'api/v2',
    '/health',
    '*',
    '',
  ])('%s is an unknown path for every method', (path) => {
    for (const method of ['GET', 'POST', 'DELETE']) expect(route(method, path)).toBe('not_found');
  });

  test('lists the methods of a path in the order of the server when the method is another', () => {
    expect(route('PUT', C)).toBe('method_not_allowed');
    expect(allowedMethods(C, OLD)).toBe('POST,GET,HEAD');
    expect(allowedMethods(`${C}/x`, OLD)).toBe('GET,HEAD,PUT,DELETE');
    expect(allowedMethods('/api/v1/x', OLD)).toBe('GET,HEAD,PUT,PATCH,DELETE,OPTIONS');
    expect(allowedMethods('/nowhere', OLD)).toBe('');
  });

  test('matches the routes that the release has', () => {
    expect(route('POST', `${C}/x/search`)).toBe('not_found');
    expect(route('POST', `${C}/x/search`, NEW)).toBe('search');
    expect(route('GET', `${C}/by-id/count`)).toBe('count');
    expect(route('GET', `${C}/by-id/count`, NEW)).toBe('get_collection_by_id');
    expect(route('POST', `${C}/by-id/add`)).toBe('add');
    expect(route('POST', `${C}/by-id/add`, NEW)).toBe('method_not_allowed');
    expect(route('GET', `${C}/x/functions/attach`, NEW)).toBe('method_not_allowed');
    expect(route('POST', `${C}/x/conditional/get`, NEW)).toBe('not_found');
    expect(route('POST', `${C}/x/conditional/get`, { ...NEW, conditional: true })).toBe('conditional_get');
  });

  test('decodes parameters segment by segment', () => {
    const match = matchRoute('GET', '/api/v2/tenants/a%2Fb/databases/%C3%A9+%zz/collections/c%00', OLD);
    expect(match).toMatchObject({ params: { tenant: 'a/b', database: 'é+%zz', collection: 'c\0' } });
  });

  test('refuses a parameter that is not UTF-8 under the name Chroma gives it', () => {
    expect(refusal('/api/v2/tenants/%ff')).toBe('Invalid URL: Invalid UTF-8 in `tenant_name`');
    expect(refusal('/api/v2/tenants/%ff/databases')).toBe('Invalid URL: Invalid UTF-8 in `tenant`');
    expect(refusal(`${C}/%ff`)).toBe('Invalid URL: Invalid UTF-8 in `collection_id`');
    expect(route('POST', '/api/v2/tenants/%ff')).toBe('method_not_allowed');
  });
});

test('decodePercent resolves escapes as axum does', () => {
  expect(decodePercent('%')).toBe('%');
  expect(decodePercent('a%4')).toBe('a%4');
  expect(decodePercent('%%41')).toBe('%A');
  expect(decodePercent('%EF%BB%BFx')).toBe('\uFEFFx');
  expect(decodePercent('%ED%A0%80')).toBeNull();
});

test('canonicalUuid accepts exactly what Chroma accepts', () => {
  const id = '0a1b2c3d-0000-1000-8000-00000000000a';
  const plain = id.replaceAll('-', '');
  for (const text of [id, id.toUpperCase(), plain, plain.toUpperCase(), `{${id}}`, `urn:uuid:${id}`]) {
    expect(canonicalUuid(text)).toBe(id);
  }
  for (const text of [
    '',
    'x',
    `{${plain}}`,
    `urn:uuid:${plain}`,
    `URN:UUID:${id}`,
    ` ${id}`,
    `${id}\n`,
    `{${id}`,
  ]) {
    expect(canonicalUuid(text)).toBeNull();
  }
  expect(canonicalUuid('0a1b2c3d-00001000-8000-00000000000a')).toBeNull();
});

test('isJsonType accepts the media types that Chroma accepts', () => {
  for (const type of [
    undefined,
    'application/json',
    'APPLICATION/JSON; charset=utf-16',
    'application/a.b+json',
  ]) {
    expect(isJsonType(type), type ?? 'none').toBe(true);
  }
  for (const type of ['', 'text/json', 'application/json; x', 'application/json;;', 'application/x+json+y']) {
    expect(isJsonType(type), type).toBe(false);
  }
});
