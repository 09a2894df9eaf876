import { describe, expect, test } from 'vitest';
import { PolychromeError } from '../../errors.ts';
import type { HttpResponse } from '../../http/response.ts';
import type { ClientRequest, RequestHead, Router, RouteMatch } from '../../http/router.ts';
import { knownStateRouter, type KnownState } from './known-state-router.ts';

const UNABLE = new PolychromeError('not_leader', 'This gateway stands by.');
const ALONE = {
  refreshed: () => null,
  level: (named: string | null, _echoes: boolean) => named ?? 'session',
};
const STANDS_BY: KnownState = { ...ALONE, refusal: () => UNABLE, isOutdated: true };
const OUTDATED: KnownState = { ...ALONE, refusal: () => null, isOutdated: true };
const CURRENT: KnownState = { ...ALONE, refusal: () => null, isOutdated: false };
const HEAD = { headers: {} } as RequestHead;
const REQUEST = { headers: {} } as ClientRequest;

/** The route of that name, whose handler does this. */
function route(
  name: string,
  knowledge: KnownState,
  handle: () => Promise<HttpResponse> = async () => ({ status: 200 }),
): RouteMatch {
  const only = {
    name,
    params: {},
    readsBody: false,
    admit: () => null,
    trimBody: (body: Buffer) => body,
    handle,
  };
  const router: Router = { match: () => only, allowedMethods: () => 'GET' };
  return knownStateRouter(router, knowledge).match('GET', '/') as RouteMatch;
}

const missing = (): Promise<HttpResponse> =>
  Promise.reject(new PolychromeError('not_found', 'Collection [x]'));

describe('a gateway that stands by', () => {
  test.each(['get', 'upsert', 'list_collections', 'heartbeat', 'healthcheck', 'v1 get'])(
    'refuses %s',
    (name) => {
      expect(() => route(name, STANDS_BY).admit(HEAD)).toThrow(UNABLE);
    },
  );

  test('responds with constants', async () => {
    expect(route('version', STANDS_BY).admit(HEAD)).toBeNull();
    expect(await route('version', STANDS_BY).handle(REQUEST)).toEqual({ status: 200 });
  });
});

describe('a gateway that cannot ask whether another one leads', () => {
  test('serves what it knows', async () => {
    expect(route('get', OUTDATED).admit(HEAD)).toBeNull();
    expect(await route('get', OUTDATED).handle(REQUEST)).toEqual({ status: 200 });
  });

  test.each([
    ['throws', 'get_collection', missing],
    ['responds with', 'v1 get_collection', async () => ({ status: 404, body: '{}' })],
    ['responds with', 'v1 count', async () => ({ status: 400, body: '{"error":"InvalidCollection"}' })],
  ])('does not say 404 where the handler %s it', async (_how, name, handle) => {
    await expect(route(name, OUTDATED, handle).handle(REQUEST)).rejects.toMatchObject({
      code: 'log_unavailable',
    });
    if (handle === missing)
      await expect(route(name, CURRENT, handle).handle(REQUEST)).rejects.toMatchObject({ code: 'not_found' });
    else expect(await route(name, CURRENT, handle).handle(REQUEST)).toHaveProperty('body');
  });

  test.each(['list_collections', 'count_collections', 'list_databases'])(
    'does not respond to %s',
    async (name) => {
      await expect(route(name, OUTDATED).handle(REQUEST)).rejects.toMatchObject({ code: 'log_unavailable' });
    },
  );
});
