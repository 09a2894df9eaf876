import { describe, expect, test } from 'vitest';
import { adminRouter, type AdminRoute } from './routes.ts';

const routes: AdminRoute[] = [
  { method: 'GET', path: '/admin/things', handle: async () => ({ status: 200 }) },
  { method: 'GET', path: '/admin/things/{lsn}', handle: async () => ({ status: 200 }) },
  { method: 'POST', path: '/admin/things/{lsn}/close', handle: async () => ({ status: 200 }) },
];
const router = adminRouter(routes);

describe('the router of the operator API', () => {
  test.each([
    ['GET', '/admin/things', 'GET /admin/things'],
    ['HEAD', '/admin/things', 'GET /admin/things'],
    ['GET', '/admin/things/12', 'GET /admin/things/{lsn}'],
    ['POST', '/admin/things/12/close', 'POST /admin/things/{lsn}/close'],
  ])('matches %s %s with its route', (method, path, name) => {
    expect(router.match(method, path)).toMatchObject({ name, readsBody: false });
  });

  test('passes the LSN as a parameter', () => {
    expect(router.match('GET', '/admin/things/12')).toMatchObject({ params: { lsn: '12' } });
  });

  test.each([
    '/admin',
    '/admin/things/',
    '/admin/things/x',
    '/admin/things/1/2',
    '/admin/things/1234567890123456',
  ])('has no route for %s', (path) => {
    expect(router.match('GET', path)).toBe('not_found');
    expect(router.allowedMethods(path)).toBe('');
  });

  test('names the methods of a path when the method is another', () => {
    expect(router.match('DELETE', '/admin/things/1')).toBe('method_not_allowed');
    expect(router.allowedMethods('/admin/things/1')).toBe('GET,HEAD');
    expect(router.allowedMethods('/admin/things/1/close')).toBe('POST');
  });

  test('checks access on every route', () => {
    const refusal = { status: 401 };
    const guarded = adminRouter(routes, () => refusal);
    for (const { method, path } of routes) {
      const match = guarded.match(method, path.replace('{lsn}', '1'));
      if (typeof match === 'string') throw new Error(match);
      const head = { method, params: {}, query: new URLSearchParams(), headers: {}, remoteAddress: null };
      expect(match.admit(head)).toBe(refusal);
    }
  });
});
