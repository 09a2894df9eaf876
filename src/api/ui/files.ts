// The files of the dashboard under /ui/, read once at the start.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { ClientRequest } from '../../http/router.ts';
import type { ResponseHeaders, WholeResponse } from '../../http/response.ts';
import type { AdminRoute } from '../admin/routes.ts';

interface UiFile {
  readonly body: Buffer;
  readonly headers: ResponseHeaders;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

// Scripts, styles and requests of this origin only; no page of another may frame it.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const SECURITY = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
};

/** Where `npm run prepare` puts them: as far from src/ as from dist/. */
const BUILT = new URL('../../../ui/dist/', import.meta.url);

const NOT_BUILT: WholeResponse = {
  status: 503,
  body: 'The dashboard has not been built. Run "npm run prepare" in the folder of Polychrome, then start it again.\n',
  headers: { 'content-type': 'text/plain; charset=utf-8' },
};

/** The built files by their path below /ui/; empty when there are none. */
export function readUiFiles(folder: URL = BUILT): ReadonlyMap<string, UiFile> {
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return new Map();
  }
  return new Map(
    names.flatMap((name) => {
      const type = TYPES[extname(name)];
      return type === undefined ? [] : [[name, fileOf(name, type, readFileSync(new URL(name, folder)))]];
    }),
  );
}

function fileOf(name: string, type: string, body: Buffer): UiFile {
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  // The names of assets contain a digest of their content.
  const cache = name.startsWith('assets/') ? 'private, max-age=31536000, immutable' : 'private, no-cache';
  return { body, headers: { 'content-type': type, etag, 'cache-control': cache, ...SECURITY } };
}

export function uiFileRoutes(files: ReadonlyMap<string, UiFile>): readonly AdminRoute[] {
  return [
    { method: 'GET', path: '/ui', handle: async () => ({ status: 308, headers: { location: 'ui/' } }) },
    {
      method: 'GET',
      path: '/ui/',
      handle: async (request) => served(files.get('index.html'), request) ?? NOT_BUILT,
    },
    {
      method: 'GET',
      path: '/ui/assets/{asset}',
      handle: async (request) =>
        served(files.get(`assets/${request.params['asset']}`), request) ?? { status: 404 },
    },
  ];
}

function served(file: UiFile | undefined, { headers }: ClientRequest): WholeResponse | null {
  if (file === undefined) return null;
  const known = headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  if (known.includes(file.headers['etag'] ?? '')) return { status: 304, headers: file.headers };
  return { status: 200, ...file };
}
