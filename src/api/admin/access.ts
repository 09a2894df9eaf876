// Who may use the operator API: loopback clients and bearers of the admin token, and no page of another origin.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHead } from '../../http/router.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import type { AccessCheck } from './routes.ts';

const CROSS_ORIGIN = jsonResponse(
  { error: 'Forbidden', message: 'The operator API does not accept requests from pages of other origins.' },
  403,
);
const WRONG_TOKEN = 'The token in the Authorization header is not ADMIN_TOKEN.';
const NO_ACCESS =
  'The operator API accepts requests from this machine, or with "Authorization: Bearer" and ADMIN_TOKEN.';
const PAGE_ACCESS =
  'The dashboard is open to this machine. From others, sign in with any user name, and ADMIN_TOKEN as the password.';

/** `token` null: loopback clients alone. */
export function operatorAccess(token: string | null): AccessCheck {
  return (head) => (isCrossOrigin(head) ? CROSS_ORIGIN : tokenOrLocal(token, head, [NO_ACCESS, 'Bearer']));
}

/**
 * The same for the files of the dashboard, which contain no data: links of other pages may lead there, and browsers are
 * asked to sign in with Basic credentials, which they then send to the operator API too.
 */
export function pageAccess(token: string | null): AccessCheck {
  const challenge = token === null ? 'Bearer' : 'Basic realm="Polychrome", charset="UTF-8"';
  return (head) => {
    if (isCrossOrigin(head) && head.headers['sec-fetch-mode'] !== 'navigate') return CROSS_ORIGIN;
    return tokenOrLocal(token, head, [PAGE_ACCESS, challenge]);
  };
}

function tokenOrLocal(
  token: string | null,
  head: RequestHead,
  [message, challenge]: readonly [string, string],
): WholeResponse | null {
  const given = token === null ? null : tokenIn(head.headers.authorization ?? '');
  if (token !== null && given !== null)
    return isEqual(given, token) ? null : unauthorized(WRONG_TOKEN, challenge);
  return isLocal(head) ? null : unauthorized(message, challenge);
}

/** The token in a header: a bearer token, or the password of Basic credentials; null without either. */
function tokenIn(authorization: string): string | null {
  const [, scheme = '', value = ''] = /^(Bearer|Basic) +(\S+) *$/i.exec(authorization) ?? [];
  if (scheme.toLowerCase() !== 'basic') return value === '' ? null : value;
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(value, 'base64').toString()) ?? [];
  return password ?? '';
}

// Browsers send Sec-Fetch-Site with every request, and Origin with every POST; other clients send neither.
function isCrossOrigin({ headers }: RequestHead): boolean {
  const site = headers['sec-fetch-site'];
  // `none`: the user entered the address.
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

// The digests have one length whatever the client sends, as timingSafeEqual requires.
function isEqual(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

const LOOPBACK_ADDRESS = /^(?:::ffff:)?127\.\d+\.\d+\.\d+$|^::1$/;
const LOOPBACK_HOST = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/i;

/**
 * Whether the client runs on this machine. A proxy on this machine names the client it forwards for; a page whose name
 * was rebound to a loopback address sends that name as Host.
 */
function isLocal({ headers, remoteAddress }: RequestHead): boolean {
  if (remoteAddress === null || !LOOPBACK_ADDRESS.test(remoteAddress)) return false;
  if (headers.forwarded !== undefined || headers['x-forwarded-for'] !== undefined) return false;
  return headers.host === undefined || LOOPBACK_HOST.test(headers.host);
}

function unauthorized(message: string, challenge: string): WholeResponse {
  const { status, body = '' } = jsonResponse({ error: 'Unauthorized', message }, 401);
  return { status, body, headers: { 'www-authenticate': challenge } };
}
