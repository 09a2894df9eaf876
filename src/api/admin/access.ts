// Who may use the operator API: loopback clients and bearers of the admin token, and no page of another origin.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHead } from '../../http/router.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import type { AccessCheck } from './routes.ts';

const CROSS_ORIGIN = jsonResponse(
  { error: 'Forbidden', message: 'The operator API does not accept requests from pages of other origins.' },
  403,
);
const WRONG_TOKEN = unauthorized('The token in the Authorization header is not ADMIN_TOKEN.');
const NO_ACCESS = unauthorized(
  'The operator API accepts requests from this machine, or with "Authorization: Bearer" and ADMIN_TOKEN.',
);

/** `token` null: loopback clients alone. */
export function operatorAccess(token: string | null): AccessCheck {
  return (head) => {
    if (isCrossOrigin(head)) return CROSS_ORIGIN;
    const given = /^Bearer +(\S+) *$/i.exec(head.headers.authorization ?? '')?.[1];
    if (token !== null && given !== undefined) return isEqual(given, token) ? null : WRONG_TOKEN;
    return isLocal(head) ? null : NO_ACCESS;
  };
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

function unauthorized(message: string): WholeResponse {
  const { status, body = '' } = jsonResponse({ error: 'Unauthorized', message }, 401);
  return { status, body, headers: { 'www-authenticate': 'Bearer' } };
}
