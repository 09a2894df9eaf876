// The table of Chroma's routes, and matching of paths against it.
//
// Paths are matched segment by segment, as Chroma's router does (axum, whose tree prefers a fixed segment to a parameter
// and backtracks). Routes: rust/frontend/src/server.rs:285-397 in chroma-core/chroma; observed on 1.0.5 and 1.3.4. The
// response to a route that a release lacks is that of any unknown path: 404 or 405 without a body. The same holds for
// unknown mutating routes: no request outside this table reaches a node.

import { PolychromeError } from '../../errors.ts';
import type { RouteParams } from '../../http/router.ts';
import type { Capabilities } from '../../chroma/protocol/capabilities.ts';

/**
 * What a request does: `read` and `write` concern records or the catalog, `schema` changes what exists, `local` needs
 * this process alone.
 */
export type RouteKind = 'read' | 'write' | 'schema' | 'local';

/** The releases that have a route: all; those that know `schema` (1.3.4); or only Chroma's main branch of July 2026. */
type Since = 'base' | 'schema' | 'conditional';

interface RouteRow {
  readonly kind: RouteKind;
  readonly method: string;
  /** `{tenant}` is a parameter; `{tenant:tenant_name}` is one that Chroma's messages call tenant_name. */
  readonly paths: readonly string[];
  readonly since?: Since;
  /** Chroma reads a JSON body here; everywhere else it ignores the body and its type. */
  readonly body?: 'json';
}

const TENANT = '/api/v2/tenants/{tenant}';
const DATABASE = `${TENANT}/databases/{database}`;
const COLLECTIONS = `${DATABASE}/collections`;
const COLLECTION = `${COLLECTIONS}/{collection:collection_id}`;

// Rows of one path stand in the order in which the server's Allow header names their methods.
const ROWS = {
  heartbeat: { kind: 'local', method: 'GET', paths: ['/api/v2', '/api/v2/heartbeat'] },
  healthcheck: { kind: 'local', method: 'GET', paths: ['/api/v2/healthcheck'] },
  version: { kind: 'local', method: 'GET', paths: ['/api/v2/version'] },
  preflight: { kind: 'local', method: 'GET', paths: ['/api/v2/pre-flight-checks'] },
  identity: { kind: 'local', method: 'GET', paths: ['/api/v2/auth/identity'] },
  reset: { kind: 'schema', method: 'POST', paths: ['/api/v2/reset'] },

  create_tenant: { kind: 'schema', method: 'POST', paths: ['/api/v2/tenants'], body: 'json' },
  get_tenant: { kind: 'read', method: 'GET', paths: ['/api/v2/tenants/{tenant:tenant_name}'] },
  update_tenant: {
    kind: 'schema',
    method: 'PATCH',
    paths: ['/api/v2/tenants/{tenant:tenant_name}'],
    body: 'json',
  },
  list_databases: { kind: 'read', method: 'GET', paths: [`${TENANT}/databases`] },
  create_database: { kind: 'schema', method: 'POST', paths: [`${TENANT}/databases`], body: 'json' },
  get_database: { kind: 'read', method: 'GET', paths: [DATABASE] },
  delete_database: { kind: 'schema', method: 'DELETE', paths: [DATABASE] },

  create_collection: { kind: 'schema', method: 'POST', paths: [COLLECTIONS], body: 'json' },
  list_collections: { kind: 'read', method: 'GET', paths: [COLLECTIONS] },
  count_collections: { kind: 'read', method: 'GET', paths: [`${DATABASE}/collections_count`] },
  get_collection: { kind: 'read', method: 'GET', paths: [COLLECTION] },
  modify_collection: { kind: 'schema', method: 'PUT', paths: [COLLECTION], body: 'json' },
  delete_collection: { kind: 'schema', method: 'DELETE', paths: [COLLECTION] },
  get_collection_by_id: {
    kind: 'read',
    method: 'GET',
    paths: [`${COLLECTIONS}/by-id/{collection:collection_id}`],
    since: 'schema',
  },
  get_collection_by_crn: { kind: 'read', method: 'GET', paths: ['/api/v2/collections/{crn}'] },

  add: { kind: 'write', method: 'POST', paths: [`${COLLECTION}/add`], body: 'json' },
  update: { kind: 'write', method: 'POST', paths: [`${COLLECTION}/update`], body: 'json' },
  upsert: { kind: 'write', method: 'POST', paths: [`${COLLECTION}/upsert`], body: 'json' },
  delete: { kind: 'write', method: 'POST', paths: [`${COLLECTION}/delete`], body: 'json' },
  count: { kind: 'read', method: 'GET', paths: [`${COLLECTION}/count`] },
  get: { kind: 'read', method: 'POST', paths: [`${COLLECTION}/get`], body: 'json' },
  query: { kind: 'read', method: 'POST', paths: [`${COLLECTION}/query`], body: 'json' },
  search: { kind: 'read', method: 'POST', paths: [`${COLLECTION}/search`], since: 'schema', body: 'json' },

  fork: { kind: 'schema', method: 'POST', paths: [`${COLLECTION}/fork`], body: 'json' },
  fork_count: { kind: 'read', method: 'GET', paths: [`${COLLECTION}/fork_count`], since: 'schema' },
  indexing_status: { kind: 'read', method: 'GET', paths: [`${COLLECTION}/indexing_status`], since: 'schema' },
  attach_function: {
    kind: 'schema',
    method: 'POST',
    paths: [`${COLLECTION}/functions/attach`],
    since: 'schema',
    body: 'json',
  },
  get_function: {
    kind: 'read',
    method: 'GET',
    paths: [`${COLLECTION}/functions/{function:function_name}`],
    since: 'schema',
  },
  detach_function: {
    kind: 'schema',
    method: 'POST',
    paths: [`${COLLECTION}/attached_functions/{function:name}/detach`],
    since: 'schema',
    body: 'json',
  },
  add_input: {
    kind: 'write',
    method: 'POST',
    paths: [`${COLLECTION}/attached_functions/{function:name}/add_input`],
    since: 'conditional',
    body: 'json',
  },
  conditional_get: {
    kind: 'read',
    method: 'POST',
    paths: [`${COLLECTION}/conditional/get`],
    since: 'conditional',
    body: 'json',
  },
  conditional_commit: {
    kind: 'write',
    method: 'POST',
    paths: [`${COLLECTION}/conditional/commit`],
    since: 'conditional',
    body: 'json',
  },

  openapi: { kind: 'local', method: 'GET', paths: ['/openapi.json'] },
  docs_redirect: { kind: 'local', method: 'GET', paths: ['/docs'] },
  docs: { kind: 'local', method: 'GET', paths: ['/docs/', '/docs/{*rest}'] },
  // Every method but POST, HEAD among them; see ANY_BUT_POST.
  v1: { kind: 'local', method: 'GET', paths: ['/api/v1/{*}'] },
} as const satisfies Record<string, RouteRow>;

export type RouteName = keyof typeof ROWS;

export interface Route {
  readonly name: RouteName;
  readonly kind: RouteKind;
  /** Whether Chroma reads a JSON body here, and so requires its content type. */
  readonly jsonBody: boolean;
}

export interface MatchedRoute {
  readonly route: Route;
  /** `tenant`, `database`, `collection` (id or name, as sent), `crn`, `function`, `rest`. */
  readonly params: RouteParams;
}

/** Capabilities that decide which routes there are. */
export type RouteCapabilities = Pick<Capabilities, 'schema'> & { readonly conditional?: boolean };

// axum's `get` accepts HEAD as well, and names it in Allow before methods added later.
const GET_METHODS = ['GET', 'HEAD'];
const ANY_BUT_POST = ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

interface Parameter {
  readonly name: string;
  readonly chromaName: string;
}

/** The routes of one path. */
interface Leaf {
  readonly routes: Map<string, Route>;
  /** In the order of their segments. */
  readonly parameters: readonly Parameter[];
  allow: string;
}

interface Branch {
  readonly fixed: Map<string, Branch>;
  parameter: Branch | null;
  /** As a parameter: whether it matches an empty segment that is not the last. */
  mayBeEmpty: boolean;
  leaf: Leaf | null;
  /** For `{*rest}`: matches all that follows. */
  rest: Leaf | null;
}

const LEVELS: readonly (readonly Since[])[] = [
  ['base'],
  ['base', 'schema'],
  ['base', 'schema', 'conditional'],
];
const TREES: readonly Branch[] = LEVELS.map(buildTree);

/**
 * The route of a request line; `path` is without its query string. A parameter that is not UTF-8 is refused as Chroma
 * refuses it: PolychromeError `invalid_argument`.
 */
export function matchRoute(
  method: string,
  path: string,
  capabilities: RouteCapabilities,
): MatchedRoute | 'not_found' | 'method_not_allowed' {
  const found = find(path, capabilities);
  if (found === null) return 'not_found';
  const route = found.leaf.routes.get(method);
  if (route === undefined) return 'method_not_allowed';
  return { route, params: decodeAll(found.leaf.parameters, found.values) };
}

/** The route of that name. */
export function routeNamed(name: RouteName): Route {
  const row: RouteRow = ROWS[name];
  return { name, kind: row.kind, jsonBody: row.body === 'json' };
}

/** Value of the Allow header for a path that has other methods only; '' for an unknown path. */
export function allowedMethods(path: string, capabilities: RouteCapabilities): string {
  return find(path, capabilities)?.leaf.allow ?? '';
}

interface Found {
  readonly leaf: Leaf;
  readonly values: string[];
}

function find(path: string, capabilities: RouteCapabilities): Found | null {
  const level = capabilities.conditional === true ? 2 : capabilities.schema ? 1 : 0;
  const tree = TREES[level];
  if (tree === undefined || path.charCodeAt(0) !== 0x2f) return null;
  const segments = path.split('/');
  const values: string[] = [];
  const leaf = descend(tree, segments, 1, values);
  return leaf === null ? null : { leaf, values };
}

function descend(branch: Branch, segments: readonly string[], at: number, values: string[]): Leaf | null {
  const segment = segments[at];
  if (segment === undefined) return branch.leaf;
  const fixed = branch.fixed.get(segment);
  if (fixed !== undefined) {
    const leaf = descend(fixed, segments, at + 1, values);
    if (leaf !== null) return leaf;
  }
  // Chroma matches an empty segment in the middle of a path with any parameter. An empty collection id is refused like
  // any invalid one. But no tenant or database can have an empty name, and Chroma creates databases in tenants that do
  // not exist: here that is an unknown path.
  const { parameter } = branch;
  if (parameter !== null && (segment !== '' || (parameter.mayBeEmpty && at < segments.length - 1))) {
    values.push(segment);
    const leaf = descend(parameter, segments, at + 1, values);
    if (leaf !== null) return leaf;
    values.pop();
  }
  if (branch.rest === null) return null;
  const rest = segments.slice(at).join('/');
  if (rest === '') return null;
  values.push(rest);
  return branch.rest;
}

function decodeAll(parameters: readonly Parameter[], values: readonly string[]): RouteParams {
  const params: Record<string, string> = {};
  for (const [index, { name, chromaName }] of parameters.entries()) {
    const text = decodePercent(values[index] ?? '');
    if (text === null) {
      throw new PolychromeError('invalid_argument', `Invalid URL: Invalid UTF-8 in \`${chromaName}\``);
    }
    params[name] = text;
  }
  return params;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Resolves percent escapes as axum does (percent-encoding crate): "%zz" and a "%" near the end stand for themselves;
 * null when the bytes are not UTF-8.
 */
export function decodePercent(text: string): string | null {
  if (!text.includes('%')) return text;
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const high = code === 0x25 ? hexDigit(text.charCodeAt(at + 1)) : -1;
    const low = high < 0 ? -1 : hexDigit(text.charCodeAt(at + 2));
    bytes[length++] = low < 0 ? code : high * 16 + low;
    if (low >= 0) at += 2;
  }
  try {
    return utf8.decode(bytes.subarray(0, length));
  } catch {
    return null;
  }
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function buildTree(since: readonly Since[]): Branch {
  const root = emptyBranch();
  for (const name of Object.keys(ROWS).filter(isRouteName)) {
    const row: RouteRow = ROWS[name];
    if (!since.includes(row.since ?? 'base')) continue;
    const route = routeNamed(name);
    const methods = name === 'v1' ? ANY_BUT_POST : row.method === 'GET' ? GET_METHODS : [row.method];
    for (const path of row.paths) {
      const leaf = addPath(root, path);
      for (const method of methods) leaf.routes.set(method, route);
      leaf.allow = [...leaf.routes.keys()].join(',');
    }
  }
  return root;
}

function isRouteName(name: string): name is RouteName {
  return Object.hasOwn(ROWS, name);
}

function addPath(root: Branch, path: string): Leaf {
  const parameters: Parameter[] = [];
  let branch = root;
  for (const segment of path.split('/').slice(1)) {
    if (segment === '{*}') return (branch.rest ??= emptyLeaf(parameters)); // not used, so not decoded
    const [, star = '', name = '', chromaName = name] = /^\{(\*?)(\w+)(?::(\w+))?\}$/.exec(segment) ?? [];
    if (name === '') {
      const next = branch.fixed.get(segment) ?? emptyBranch();
      branch.fixed.set(segment, next);
      branch = next;
      continue;
    }
    parameters.push({ name, chromaName });
    if (star !== '') return (branch.rest ??= emptyLeaf(parameters));
    branch = branch.parameter ??= emptyBranch();
    branch.mayBeEmpty = name === 'collection';
  }
  return (branch.leaf ??= emptyLeaf(parameters));
}

function emptyBranch(): Branch {
  return { fixed: new Map(), parameter: null, mayBeEmpty: false, leaf: null, rest: null };
}

function emptyLeaf(parameters: readonly Parameter[]): Leaf {
  return { routes: new Map(), parameters, allow: '' };
}
