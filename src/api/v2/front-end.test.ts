import { describe, expect, test } from 'vitest';
import { PolychromeError } from '../../errors.ts';
import type { ClientRequest, Handler, RequestHead, RouteMatch } from '../../http/router.ts';
import { ERROR_RESPONSES } from './error-responses.ts';
import { UNSUPPORTED_TYPE } from './fixed-responses.ts';
import { chromaRouter, type Authorizer, type ChromaRouterOptions } from './front-end.ts';

const COLLECTIONS = '/api/v2/tenants/t/databases/d/collections';

const allowed: Authorizer = { authorize: () => undefined };

const router = (options: Partial<ChromaRouterOptions> = {}): ReturnType<typeof chromaRouter> =>
  chromaRouter({ handlers: {}, capabilities: () => ({ schema: true }), authorizer: allowed, ...options });

function match(method: string, path: string, options: Partial<ChromaRouterOptions> = {}): RouteMatch {
  const found = router(options).match(method, path);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

const head = (headers: Record<string, string> = {}, params = {}): RequestHead => ({
  method: 'POST',
  params,
  query: new URLSearchParams(),
  headers,
  remoteAddress: null,
});

describe('authorization', () => {
  test('is asked once per request, with its route and head', async () => {
    const seen: [RequestHead, string][] = [];
    const authorizer: Authorizer = { authorize: (request, { name }) => void seen.push([request, name]) };
    const request = head({ 'content-type': 'application/json' }, { tenant: 't' });
    expect(await match('POST', COLLECTIONS, { authorizer }).admit(request)).toBeNull();
    expect(seen).toEqual([[request, 'create_collection']]);
  });

  test.each<[string, Authorizer['authorize']]>([
    [
      'throws',
      () => {
        throw new PolychromeError('not_found', 'hidden');
      },
    ],
    ['rejects', () => Promise.reject(new PolychromeError('not_found', 'hidden'))],
  ])('refuses the request when the authorizer %s', async (_how, authorize) => {
    const route = match('POST', COLLECTIONS, { authorizer: { authorize } });
    await expect((async () => route.admit(head()))()).rejects.toThrow('hidden');
  });

  test('is asked before the content type is refused', async () => {
    const authorizer = { authorize: () => Promise.reject(new PolychromeError('not_found', 'hidden')) };
    const route = match('POST', COLLECTIONS, { authorizer });
    await expect(route.admit(head({ 'content-type': 'text/plain' }))).rejects.toThrow('hidden');
  });

  test('is not asked for an unknown path or method', () => {
    const authorizer: Authorizer = {
      authorize: () => {
        throw new Error('asked');
      },
    };
    const subject = router({ authorizer });
    expect(subject.match('POST', '/nothing')).toBe('not_found');
    expect(subject.match('PATCH', COLLECTIONS)).toBe('method_not_allowed');
  });
});

describe('a route', () => {
  test('that reads a body refuses content types other than JSON', async () => {
    const route = match('POST', COLLECTIONS);
    expect(route.readsBody).toBe(true);
    expect(await route.admit(head({ 'content-type': 'text/plain' }))).toBe(UNSUPPORTED_TYPE);
    expect(await route.admit(head())).toBeNull();
  });

  test('that reads none ignores the content type', async () => {
    const route = match('GET', COLLECTIONS);
    expect(route.readsBody).toBe(false);
    expect(await route.admit(head({ 'content-type': 'text/plain' }))).toBeNull();
  });

  test('calls its handler with the request', async () => {
    const handler: Handler = async ({ params }) => ({ status: 200, body: params['tenant'] ?? '' });
    const route = match('GET', '/api/v2/tenants/one', { handlers: { get_tenant: handler } });
    expect(route.params).toEqual({ tenant: 'one' });
    const request = { ...head({}, route.params), body: Buffer.alloc(0) } as unknown as ClientRequest;
    expect(await route.handle(request)).toEqual({ status: 200, body: 'one' });
  });

  test('without a handler responds that it is not supported', async () => {
    const error: unknown = await match('GET', COLLECTIONS)
      .handle({} as ClientRequest)
      .catch((thrown: unknown) => thrown);
    expect(ERROR_RESPONSES.expected(error)?.status).toBe(501);
  });

  test('ignores what follows the JSON of a schema call, on releases that do', () => {
    const body = Buffer.from('{"name":"x"} rest');
    const trimmed = (schema: boolean, path: string): string =>
      match('POST', path, { capabilities: () => ({ schema }) })
        .trimBody(body)
        .toString();
    expect(trimmed(false, COLLECTIONS)).toBe('{"name":"x"}');
    expect(trimmed(true, COLLECTIONS)).toBe(body.toString());
    expect(trimmed(false, `${COLLECTIONS}/c/add`)).toBe(body.toString());
  });
});

describe('errors', () => {
  test('that may pass carry Retry-After', () => {
    const headersOf = (code: 'overloaded' | 'unconfirmed'): unknown =>
      ERROR_RESPONSES.expected(new PolychromeError(code, 'x'))?.headers;
    expect(headersOf('overloaded')).toEqual({ 'retry-after': '1' });
    expect(headersOf('unconfirmed')).toBeUndefined();
  });

  test('of other kinds are internal', () => {
    expect(ERROR_RESPONSES.expected(new Error('secret'))).toBeNull();
    expect(String(ERROR_RESPONSES.internal.body)).toContain('InternalError');
  });
});
