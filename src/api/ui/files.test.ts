import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClientRequest } from '../../http/router.ts';
import type { WholeResponse } from '../../http/response.ts';
import { adminRouter } from '../admin/routes.ts';
import { readUiFiles, uiFileRoutes } from './files.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'polychrome-ui-'));
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html>');
  writeFileSync(join(folder, 'assets', 'index-1a2b.js'), 'go()');
  writeFileSync(join(folder, 'assets', 'secret.txt'), 'no');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function get(
  path: string,
  headers: Record<string, string> = {},
  from = folder,
): Promise<WholeResponse> {
  const match = adminRouter(uiFileRoutes(readUiFiles(pathToFileURL(`${from}/`)))).match('GET', path);
  if (typeof match === 'string') return { status: 404 };
  return (await match.handle({ params: match.params, headers } as unknown as ClientRequest)) as WholeResponse;
}

test('files have their type, a policy, and are cached by their digest', async () => {
  const page = await get('/ui/');
  expect(page).toMatchObject({
    status: 200,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'private, no-cache',
      'x-content-type-options': 'nosniff',
    },
  });
  expect(page.headers?.['content-security-policy']).toContain("script-src 'self'");
  expect(page.headers?.['content-security-policy']).toContain("frame-ancestors 'none'");
  const script = await get('/ui/assets/index-1a2b.js');
  expect(script.headers).toMatchObject({
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'private, max-age=31536000, immutable',
  });
  const etag = script.headers!['etag']!;
  expect(await get('/ui/assets/index-1a2b.js', { 'if-none-match': `"x", W/${etag}` })).toMatchObject({
    status: 304,
  });
  expect(await get('/ui/assets/index-1a2b.js', { 'if-none-match': '"x"' })).toMatchObject({ status: 200 });
});

test('a path without its slash leads to the page, also behind the path of a proxy', async () => {
  expect(await get('/ui')).toEqual({ status: 308, headers: { location: 'ui/' } });
});

test.each([
  '/ui/assets/none.js',
  '/ui/assets/secret.txt',
  '/ui/assets/..',
  '/ui/assets/../index.html',
  '/ui/x',
])('there is nothing at %s', async (path) => {
  expect((await get(path)).status).toBe(404);
});

test('a dashboard that was not built says how to build it', async () => {
  expect(await get('/ui/', {}, join(folder, 'none'))).toMatchObject({
    status: 503,
    body: expect.stringContaining('npm run prepare') as string,
  });
});
