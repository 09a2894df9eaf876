import { describe, expect, it } from 'vitest';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsCountPath,
  databasesPath,
  recordsPath,
  segment,
} from './paths.ts';

const name = { tenant: 'default_tenant', database: 'default_database' };
const database = '/api/v2/tenants/default_tenant/databases/default_database';

describe('paths', () => {
  it('match the routes of the server', () => {
    expect(collectionsCountPath(name)).toBe(`${database}/collections_count`);
    expect(collectionByNamePath(name, 'docs')).toBe(`${database}/collections/docs`);
    expect(collectionByIdPath(name, 'a-b')).toBe(`${database}/collections/a-b`);
    expect(recordsPath(name, 'a-b', 'query')).toBe(`${database}/collections/a-b/query`);
  });

  it('encode names that look like paths or routes into one segment', () => {
    const odd = { tenant: 'collections/../x', database: 'a b?c#d%' };
    expect(recordsPath(odd, 'get', 'get')).toBe(
      '/api/v2/tenants/collections%2F..%2Fx/databases/a%20b%3Fc%23d%25/collections/get/get',
    );
    expect(databasesPath('größe')).toBe('/api/v2/tenants/gr%C3%B6%C3%9Fe/databases');
  });

  it('encode segments that a proxy would resolve', () => {
    expect(segment('.')).toBe('%2E');
    expect(segment('..')).toBe('%2E%2E');
    expect(segment('...')).toBe('...');
  });

  it('throw for an empty or malformed segment', () => {
    expect(() => segment('')).toThrow(RangeError);
    expect(() => segment('\ud800')).toThrow(URIError);
  });
});
