import { describe, expect, it } from 'vitest';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsCountPath,
  databasesPath,
  paged,
  recordsPath,
  segment,
} from './paths.ts';

const name = { tenant: 'default_tenant', database: 'default_database' };
const database = '/api/v2/tenants/default_tenant/databases/default_database';

describe('paths', () => {
  it('follow the routes of the server', () => {
    expect(collectionsCountPath(name)).toBe(`${database}/collections_count`);
    expect(collectionByNamePath(name, 'docs')).toBe(`${database}/collections/docs`);
    expect(collectionByIdPath(name, 'a-b')).toBe(`${database}/collections/a-b`);
    expect(recordsPath(name, 'a-b', 'query')).toBe(`${database}/collections/a-b/query`);
  });

  it('keep names that look like parts of a path, or like routes, in their segment', () => {
    const odd = { tenant: 'collections/../x', database: 'a b?c#d%' };
    expect(recordsPath(odd, 'get', 'get')).toBe(
      '/api/v2/tenants/collections%2F..%2Fx/databases/a%20b%3Fc%23d%25/collections/get/get',
    );
    expect(databasesPath('größe')).toBe('/api/v2/tenants/gr%C3%B6%C3%9Fe/databases');
  });

  it('leave no segment that a proxy would resolve away', () => {
    expect(segment('.')).toBe('%2E');
    expect(segment('..')).toBe('%2E%2E');
    expect(segment('...')).toBe('...');
  });

  it('refuse what is no segment', () => {
    expect(() => segment('')).toThrow(RangeError);
    expect(() => segment('\ud800')).toThrow(URIError);
  });

  it('carry pages in the query string', () => {
    expect(paged('/x', { limit: 10, offset: 20 })).toBe('/x?limit=10&offset=20');
    expect(paged('/x', { offset: 0 })).toBe('/x?offset=0');
    expect(paged('/x', {})).toBe('/x');
  });
});
