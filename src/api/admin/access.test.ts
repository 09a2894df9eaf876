import { describe, expect, test } from 'vitest';
import type { RequestHead } from '../../http/router.ts';
import { operatorAccess, pageAccess } from './access.ts';

const TOKEN = 'correct-horse-battery';

function statusOf(
  headers: Record<string, string>,
  remoteAddress: string | null = '10.0.0.9',
  token: string | null = TOKEN,
): number | null {
  const head: RequestHead = {
    method: 'GET',
    params: {},
    query: new URLSearchParams(),
    headers: { host: '127.0.0.1:8000', ...headers },
    remoteAddress,
  };
  return operatorAccess(token)(head)?.status ?? null;
}

describe('a client of another machine', () => {
  test('is refused without the token', () => {
    expect(statusOf({})).toBe(401);
    expect(statusOf({ authorization: 'Basic eDp5' })).toBe(401);
    expect(statusOf({}, null)).toBe(401);
  });

  test('is refused with a token that differs in a character, in length or in case', () => {
    for (const token of [`${TOKEN.slice(0, -1)}x`, TOKEN.slice(1), `${TOKEN}y`, TOKEN.toUpperCase()]) {
      expect(statusOf({ authorization: `Bearer ${token}` }), token).toBe(401);
    }
  });

  test('is admitted with the token', () => {
    expect(statusOf({ authorization: `Bearer ${TOKEN}`, host: 'polychrome.example' })).toBeNull();
    expect(statusOf({ authorization: `bearer  ${TOKEN} ` })).toBeNull();
  });

  test('is refused with any token when none is set', () => {
    for (const token of ['null', 'undefined', TOKEN]) {
      expect(statusOf({ authorization: `Bearer ${token}` }, '10.0.0.9', null)).toBe(401);
    }
  });
});

describe('a client of this machine', () => {
  test.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])('at %s is admitted', (address) => {
    expect(statusOf({}, address)).toBeNull();
    expect(statusOf({}, address, null)).toBeNull();
    expect(statusOf({ host: 'localhost:9000' }, address, null)).toBeNull();
  });

  test('is refused with a wrong token', () => {
    expect(statusOf({ authorization: 'Bearer wrong' }, '127.0.0.1')).toBe(401);
  });

  test.each([{ 'x-forwarded-for': '203.0.113.5' }, { forwarded: 'for=203.0.113.5' }])(
    'is refused when it forwards for another: %j',
    (headers) => {
      expect(statusOf(headers, '127.0.0.1')).toBe(401);
    },
  );

  test('is refused under a host name that was rebound to this machine', () => {
    expect(statusOf({ host: 'evil.example:8000', origin: 'http://evil.example:8000' }, '127.0.0.1')).toBe(
      401,
    );
    expect(statusOf({ host: '127.0.0.1.evil.example' }, '127.0.0.1')).toBe(401);
  });

  test.each(['10.0.0.1', '::2', '128.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '127.0.0.1.example'])(
    'is not one at %s',
    (address) => {
      expect(statusOf({}, address)).toBe(401);
    },
  );
});

describe('a browser', () => {
  const bearer = { authorization: `Bearer ${TOKEN}` };

  test.each<[Record<string, string>]>([
    [{ 'sec-fetch-site': 'cross-site' }],
    [{ 'sec-fetch-site': 'same-site' }],
    [{ origin: 'https://evil.example' }],
    [{ origin: 'null' }],
    [{ origin: 'http://127.0.0.1:9999' }],
  ])('is refused with %j, token or not', (headers) => {
    expect(statusOf(headers, '127.0.0.1')).toBe(403);
    expect(statusOf({ ...headers, ...bearer })).toBe(403);
  });

  test('is admitted on the same origin', () => {
    const headers = { 'sec-fetch-site': 'same-origin', origin: 'http://127.0.0.1:8000' };
    expect(statusOf(headers, '127.0.0.1')).toBeNull();
    expect(statusOf({ 'sec-fetch-site': 'none' }, '127.0.0.1')).toBeNull();
  });
});

describe('Basic credentials, which browsers send once an operator has signed in', () => {
  const basic = (text: string): Record<string, string> => ({
    authorization: `Basic ${Buffer.from(text).toString('base64')}`,
  });

  test('are admitted with the token as the password, whatever the user name', () => {
    expect(statusOf(basic(`operator:${TOKEN}`))).toBeNull();
    expect(statusOf(basic(`:${TOKEN}`))).toBeNull();
  });

  test.each([`${TOKEN}:`, TOKEN, `operator:${TOKEN}x`, `operator:x:${TOKEN}`, ''])(
    'are refused: "%s"',
    (text) => {
      expect(statusOf(basic(text))).toBe(401);
    },
  );

  test('are refused when no token is set', () => {
    expect(statusOf(basic('operator:null'), '10.0.0.9', null)).toBe(401);
  });
});

describe('the pages of the dashboard', () => {
  const check = (headers: Record<string, string>, remoteAddress: string, token: string | null = TOKEN) =>
    pageAccess(token)({
      method: 'GET',
      params: {},
      query: new URLSearchParams(),
      headers: { host: '127.0.0.1:8000', ...headers },
      remoteAddress,
    });

  test('ask other machines to sign in, where there is a token', () => {
    const refused = check({}, '10.0.0.9');
    expect(refused?.status).toBe(401);
    expect(refused?.headers?.['www-authenticate']).toMatch(/^Basic realm="Polychrome"/);
    expect(check({}, '10.0.0.9', null)?.headers?.['www-authenticate']).toBe('Bearer');
  });

  test('may be opened by a link of another site, and not be embedded or read by it', () => {
    const site = { 'sec-fetch-site': 'cross-site' };
    expect(check({ ...site, 'sec-fetch-mode': 'navigate' }, '127.0.0.1')).toBeNull();
    expect(check({ ...site, 'sec-fetch-mode': 'cors' }, '127.0.0.1')?.status).toBe(403);
    expect(statusOf({ ...site, 'sec-fetch-mode': 'navigate' }, '127.0.0.1')).toBe(403);
  });
});
