// The v1 API, for clients before Python 0.5.16 and JavaScript 1.10: each request becomes one of the v2 API, and its
// response takes the older shape. Validation, the log and the choice of nodes are those of the v2 handlers.

import type { Collection } from '../../catalog/catalog.ts';
import type { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import { canonicalUuid } from '../../chroma/protocol/collection-id.ts';
import { isJsonType } from '../../chroma/protocol/content-type.ts';
import { PolychromeError } from '../../errors.ts';
import type { HttpResponse, WholeResponse } from '../../http/response.ts';
import type { ClientRequest, Handler, RequestHead, RouteMatch, Router } from '../../http/router.ts';
import { ERROR_RESPONSES } from '../v2/error-responses.ts';
import { UNSUPPORTED_TYPE } from '../v2/fixed-responses.ts';
import type { Authorizer } from '../v2/front-end.ts';
import type { Params } from '../v2/resolve.ts';
import { routeNamed, type RouteName } from '../v2/routes.ts';
import { olderCollections, withTodaysConfiguration } from './collection-objects.ts';
import { olderError } from './errors.ts';
import { withIncluded } from './included.ts';
import { allowedOlderMethods, matchOlderRoute, type OlderRoute } from './routes.ts';

export interface OlderRouterOptions {
  readonly handlers: Readonly<Partial<Record<RouteName, Handler>>>;
  readonly catalog: {
    collection(id: string): Collection | null;
    collectionNamed(tenant: string, database: string, name: string): Collection | null;
  };
  readonly scanner: Pick<LargeScanner, 'withoutOlderParts'>;
  /** The ids that the conditional delete at an LSN selected, one page at a time. */
  readonly deletedIds: (lsn: number) => AsyncIterable<readonly string[]>;
  readonly authorizer: Authorizer;
}

const DEFAULT_TENANT = 'default_tenant';
const DEFAULT_DATABASE = 'default_database';
const NOTHING_SELECTED =
  'Nothing was deleted: give ids, where or where_document. To delete every record, delete the collection.';

export function olderRouter(options: OlderRouterOptions): Router {
  return {
    match(method, path) {
      const match = matchOlderRoute(method, path);
      if (typeof match === 'string') return match;
      const call = new OlderCall(options, match.route, match.params);
      return {
        name: `v1 ${match.route.serves}`,
        params: match.params,
        readsBody: call.readsBody,
        admit: (head) => call.admit(head),
        trimBody: (body) => body,
        handle: (request) => call.handle(request),
      } satisfies RouteMatch;
    },
    allowedMethods: allowedOlderMethods,
  };
}

/** One request of the v1 API. */
class OlderCall {
  readonly #options: OlderRouterOptions;
  readonly #route: OlderRoute;
  readonly #params: Params;
  readonly readsBody: boolean;

  constructor(options: OlderRouterOptions, route: OlderRoute, params: Params) {
    this.#options = options;
    this.#route = route;
    this.#params = params;
    this.readsBody = route.method !== 'GET' && routeNamed(route.serves).jsonBody;
  }

  async admit(head: RequestHead): Promise<WholeResponse | null> {
    const seen = { ...withoutMethods(head), params: this.#todaysParams(head) };
    await this.#options.authorizer.authorize(seen, routeNamed(this.#route.serves));
    return this.readsBody && !isJsonType(head.headers['content-type']) ? olderError(UNSUPPORTED_TYPE) : null;
  }

  async handle(request: ClientRequest): Promise<HttpResponse> {
    try {
      const response = await this.#respond(request);
      return typeof response !== 'function' && response.status >= 400 ? olderError(response) : response;
    } catch (error) {
      const expected = ERROR_RESPONSES.expected(error);
      if (expected === null) throw error;
      return olderError(expected);
    }
  }

  #respond(request: ClientRequest): Promise<HttpResponse> {
    const { serves } = this.#route;
    if (serves === 'get' || serves === 'query') return this.#read(request);
    if (serves === 'delete') return this.#delete(request);
    if (serves === 'list_collections' || serves === 'create_collection' || serves === 'get_collection')
      return this.#describe(request);
    return this.#change(request);
  }

  async #change(request: ClientRequest): Promise<HttpResponse> {
    const { serves } = this.#route;
    const response = await this.#pass(request, request.body);
    if (typeof response === 'function' || response.status >= 400) return response;
    if (serves === 'add') return { ...response, body: 'true' };
    return CHANGES.has(serves) ? { ...response, body: 'null' } : response;
  }

  async #describe(request: ClientRequest): Promise<HttpResponse> {
    const isCreate = this.#route.serves === 'create_collection';
    const body = isCreate ? withTodaysConfiguration(request.body) : request.body;
    const response = await this.#pass(request, body);
    if (typeof response === 'function' || response.status >= 400 || response.body === undefined)
      return response;
    const isShort = this.#route.serves === 'list_collections' && isBefore054(request);
    return { ...response, body: olderCollections(Buffer.from(response.body), isShort ? 'short' : 'whole') };
  }

  async #read(request: ClientRequest): Promise<HttpResponse> {
    if (this.#route.method === 'GET')
      return withIncluded(await this.#pass(request, bodyOfQuery(request.query)));
    const { body } = await this.#options.scanner.withoutOlderParts(request.body);
    return withIncluded(await this.#pass(request, body));
  }

  async #delete(request: ClientRequest): Promise<HttpResponse> {
    const { selection, body } = await this.#options.scanner.withoutOlderParts(request.body);
    if (selection !== null && selection.ids === null && !selection.isFiltered)
      throw new PolychromeError('invalid_argument', NOTHING_SELECTED);
    // A copy: the handler may pass the body to the scanner's thread.
    const ids = selection?.ids == null ? '[]' : body.toString('utf8', selection.ids.start, selection.ids.end);
    const response = await this.#pass(request, body);
    if (typeof response === 'function' || response.status >= 400) return response;
    if (selection?.isFiltered !== true) return { ...response, body: ids };
    const { status, headers = {} } = response;
    const pages = this.#options.deletedIds(Number(headers['x-polychrome-lsn']));
    return async (writer) => {
      writer.head(status, headers);
      let separator = '[';
      for await (const page of pages) {
        if (page.length === 0) continue;
        await writer.write(`${separator}${JSON.stringify(page).slice(1, -1)}`);
        separator = ',';
      }
      await writer.write(separator === '[' ? '[]' : ']');
    };
  }

  #pass(request: ClientRequest, body: Buffer): Promise<HttpResponse> {
    const handler = this.#options.handlers[this.#route.serves];
    if (handler === undefined) throw new Error(`no handler serves ${this.#route.serves}`);
    const params = this.#todaysParams(request);
    if (params['collection'] === undefined && this.#params['collection'] !== undefined)
      throw new PolychromeError('not_found', `Collection [${this.#params['collection']}] does not exist.`);
    const { signal } = request;
    return handler({ ...withoutMethods(request), params, query: this.#todaysQuery(request), body, signal });
  }

  /** The parameters of the v2 route; without `collection` when there is no such collection. */
  #todaysParams({ query }: RequestHead): Params {
    const { collection, ...rest } = this.#params;
    const place = {
      tenant: query.get('tenant') ?? DEFAULT_TENANT,
      database: query.get('database') ?? DEFAULT_DATABASE,
      ...rest,
    };
    if (collection === undefined) return place;
    if (BY_NAME.has(this.#route.serves)) return { ...place, collection };
    const found = this.#collection(collection, place);
    return found === null ? place : { tenant: found.tenant, database: found.database, collection: found.id };
  }

  /** Records are addressed by id, without a database; a name is looked up in the database that the query names. */
  #collection(idOrName: string, place: { tenant: string; database: string }): Collection | null {
    const { catalog } = this.#options;
    const id = canonicalUuid(idOrName);
    return (
      (id === null ? null : catalog.collection(id)) ??
      catalog.collectionNamed(place.tenant, place.database, idOrName)
    );
  }

  /** Of the query only the paging of lists has a meaning in the v2 API. */
  #todaysQuery({ query }: ClientRequest): URLSearchParams {
    const page = new URLSearchParams();
    if (this.#route.serves !== 'list_collections') return page;
    for (const name of ['limit', 'offset'])
      for (const value of query.getAll(name)) if (value !== '') page.append(name, value);
    return page;
  }
}

/** Routes whose collection is named in the path. */
const BY_NAME: ReadonlySet<RouteName> = new Set<RouteName>(['get_collection', 'delete_collection']);
/** Routes whose response is null. */
const CHANGES: ReadonlySet<RouteName> = new Set<RouteName>([
  'update',
  'upsert',
  'modify_collection',
  'delete_collection',
  'create_tenant',
  'create_database',
]);

// The members of a request as plain values: the server's own object has getters, which a spread does not copy.
function withoutMethods({ method, headers, query, remoteAddress }: RequestHead): Omit<RequestHead, 'params'> {
  return { method, headers, query, remoteAddress };
}

/** Python clients before 0.5.4 use the library requests, later ones httpx; neither sends a name of its own before 1.0. */
function isBefore054({ headers }: RequestHead): boolean {
  return headers['user-agent']?.startsWith('python-requests/') === true;
}

/** The body of a get whose selection stands in the query: any number of `ids` and `include`, `limit`, `offset`. */
function bodyOfQuery(query: URLSearchParams): Buffer {
  const body: Record<string, unknown> = {};
  for (const name of ['ids', 'include']) if (query.has(name)) body[name] = query.getAll(name);
  for (const name of ['limit', 'offset']) {
    const value = query.get(name);
    if (value === null) continue;
    if (!/^\d{1,10}$/.test(value))
      throw new PolychromeError('invalid_argument', `${name} must be a number of records.`);
    body[name] = Number(value);
  }
  return Buffer.from(JSON.stringify(body));
}
