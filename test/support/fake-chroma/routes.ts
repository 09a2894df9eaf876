// Maps requests to methods of the fake server (docs/chroma-behaviour.md#routes).

import { type FakeResponse, Refused } from './payload.ts';
import type { FakeChroma } from './server.ts';

type Handler = (
  server: FakeChroma,
  parameters: readonly string[],
  body: string,
  query: URLSearchParams,
) => FakeResponse;

interface Route {
  readonly pattern: RegExp;
  readonly methods: Readonly<Record<string, Handler>>;
}

/** The parts of a 1.0.5 server's OpenAPI description that chroma/protocol/capabilities.ts reads. */
const OPENAPI =
  '{"components":{"schemas":{"CreateCollectionPayload":{"properties":{"configuration":{},"get_or_create":{},"metadata":{},"name":{}}},"DeleteCollectionRecordsPayload":{"allOf":[{"$ref":"#/components/schemas/RawWhereFields"},{"properties":{"ids":{}}}]},"HashMap":{"additionalProperties":{"oneOf":[{"type":"boolean"},{"type":"integer"},{"type":"number"},{"type":"string"}]}}}}}';

const always =
  (text: string, status = 200): Handler =>
  () => ({ status, text });

const route = (pattern: string, methods: Route['methods']): Route => ({
  pattern: new RegExp(`^${pattern.replaceAll('{}', '([^/]+)')}$`),
  methods,
});

const TENANT = '/api/v2/tenants/{}';
const DATABASE = `${TENANT}/databases/{}`;
const COLLECTION = `${DATABASE}/collections/{}`;

const ROUTES: readonly Route[] = [
  route('/openapi.json', { GET: always(OPENAPI) }),
  route('/api/v2/heartbeat', { GET: always('{"nanosecond heartbeat":0}') }),
  // As a real one, whatever the state of its log reader.
  route('/api/v2/healthcheck', {
    GET: always('{"is_executor_ready":true,"is_log_client_ready":true}'),
  }),
  route('/api/v2/version', { GET: always('"1.0.0"') }),
  route('/api/v2/pre-flight-checks', {
    GET: always('{"max_batch_size":5461,"supports_base64_encoding":true}'),
  }),
  route('/api/v2/reset', {
    POST: always('{"error":"ChromaError","message":"Reset is disabled by config"}', 403),
  }),
  route('/api/v2/tenants', { POST: (server, _, body) => server.createTenant(body) }),
  route(TENANT, { GET: (server, [tenant = '']) => server.getTenant(tenant) }),
  route(`${TENANT}/databases`, {
    GET: (server, [tenant = '']) => server.listDatabases(tenant),
    POST: (server, [tenant = ''], body) => server.createDatabase(tenant, body),
  }),
  route(DATABASE, {
    GET: (server, [tenant = '', database = '']) => server.getDatabase(tenant, database),
    DELETE: (server, [tenant = '', database = '']) => server.deleteDatabase(tenant, database),
  }),
  route(`${DATABASE}/collections`, {
    GET: (server, [tenant = '', database = ''], _, query) => server.listCollections(tenant, database, query),
    POST: (server, [tenant = '', database = ''], body) => server.createCollection(tenant, database, body),
  }),
  route(`${DATABASE}/collections_count`, {
    GET: (server, [tenant = '', database = '']) => server.countCollections(tenant, database),
  }),
  route(COLLECTION, {
    GET: (server, [tenant = '', database = '', name = '']) => server.getCollection(tenant, database, name),
    PUT: (server, [, , id = ''], body) => server.modifyCollection(id, body),
    DELETE: (server, [tenant = '', database = '', name = '']) =>
      server.deleteCollection(tenant, database, name),
  }),
  ...(['add', 'upsert', 'update'] as const).map((kind) =>
    route(`${COLLECTION}/${kind}`, { POST: (server, [, , id = ''], body) => server.write(kind, id, body) }),
  ),
  route(`${COLLECTION}/delete`, { POST: (server, [, , id = ''], body) => server.deleteRecords(id, body) }),
  route(`${COLLECTION}/count`, { GET: (server, [, , id = '']) => server.countRecords(id) }),
  route(`${COLLECTION}/get`, { POST: (server, [, , id = ''], body) => server.getRecords(id, body) }),
  route(`${COLLECTION}/query`, { POST: (server, [, , id = ''], body) => server.query(id, body) }),
];

interface Match {
  readonly route: Route;
  readonly parameters: readonly string[];
}

/** By path: calls repeat the same few hundred. */
const matches = new Map<string, Match | null>();
const MATCHES_MAX = 2_000;

function matchOf(pathname: string): Match | null {
  const known = matches.get(pathname);
  if (known !== undefined) return known;
  const found = ROUTES.find(({ pattern }) => pattern.test(pathname));
  const parameters = (found?.pattern.exec(pathname) ?? []).slice(1).map(decodeURIComponent);
  const match = found === undefined ? null : { route: found, parameters };
  if (matches.size >= MATCHES_MAX) matches.clear();
  matches.set(pathname, match);
  return match;
}

const NO_QUERY = new URLSearchParams();

/** Executes one request; `path` as in the request line. Throws NotModelled. */
export function serve(server: FakeChroma, method: string, path: string, body = ''): FakeResponse {
  const [pathname = '', query = ''] = path.split('?', 2);
  try {
    const match = matchOf(pathname);
    if (match === null) return { status: 404, text: '' };
    const handler = match.route.methods[method];
    if (handler === undefined) return { status: 405, text: '' };
    return handler(server, match.parameters, body, query === '' ? NO_QUERY : new URLSearchParams(query));
  } catch (error) {
    if (error instanceof Refused) return error.response;
    throw error;
  }
}
