import { describe, expect, test } from 'vitest';
import { parseDatabaseUrl } from './database-url.ts';

const parse = (text: string): object | null => parseDatabaseUrl(text);

test('one server is used as it is', () => {
  expect(parse('postgres://u:p%40@db:5433/log?sslmode=require')).toEqual({
    servers: [{ name: 'db:5433', url: 'postgres://u:p%40@db:5433/log?sslmode=require' }],
    isWritableRequired: false,
    hasPassword: true,
  });
});

test('several servers get a connection string each, and must accept writes', () => {
  const text = 'postgresql://u@a:1,[::1]:2,c/db?target_session_attrs=read-write&connect_timeout=3';
  expect(parse(text)).toEqual({
    servers: [
      { name: 'a:1', url: 'postgresql://u@a:1/db?connect_timeout=3' },
      { name: '[::1]:2', url: 'postgresql://u@[::1]:2/db?connect_timeout=3' },
      { name: 'c', url: 'postgresql://u@c/db?connect_timeout=3' },
    ],
    isWritableRequired: true,
    hasPassword: false,
  });
});

test('a single server must accept writes when asked for', () => {
  expect(parse('postgres://a/db?target_session_attrs=primary')).toMatchObject({
    servers: [{ name: 'a', url: 'postgres://a/db' }],
    isWritableRequired: true,
  });
});

test('a path to a socket is a server too', () => {
  expect(parse('postgres:///db?host=/run/postgresql')).toMatchObject({ servers: [{ name: '' }] });
});

describe('is refused:', () => {
  test.each([
    'mysql://a/db',
    'a/db',
    'postgres://a:1,/db',
    'postgres://a:one,b/db',
    'postgres://a,b/db?target_session_attrs=any',
    'postgres://a/db?target_session_attrs=standby',
    'postgres://a,b,c,d,e,f,g,h,i/db',
  ])('%s', (text) => {
    expect(parse(text)).toBeNull();
  });
});
