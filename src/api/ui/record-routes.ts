// POST /ui/collections/…: what the record browser and the query console read. Bodies are those of Chroma's API.

import type { Catalog, Collection } from '../../catalog/catalog.ts';
import { filterRefusal, type FilterLimits } from '../../chroma/parse/filter-limits.ts';
import type { LargeScanner } from '../../chroma/parse/large-scanner.ts';
import { PolychromeError } from '../../errors.ts';
import type { ClientRequest, Handler } from '../../http/router.ts';
import type { WholeResponse } from '../../http/response.ts';
import type { EachNodeRead, NodeReadResult } from '../../read/each-node.ts';
import { PRIVATE } from '../admin/private-json.ts';
import type { AdminRoute } from '../admin/routes.ts';

export interface RecordRoutesOptions {
  readonly catalog: Pick<Catalog, 'collection'>;
  /** Of Chroma's API. */
  readonly handlers: Readonly<Record<'get' | 'query' | 'count', Handler>>;
  readonly eachNode: (read: EachNodeRead) => Promise<readonly NodeReadResult[]>;
  readonly scanner: Pick<LargeScanner, 'outline'>;
  readonly filterLimits: FilterLimits;
}

/** These routes show client data, so all of them need an access check. */
export function recordRoutes(options: RecordRoutesOptions): readonly AdminRoute[] {
  const path = '/ui/collections/{collection}';
  return [
    ...(['get', 'query', 'count'] as const).map((action): AdminRoute => ({
      method: 'POST',
      path: `${path}/${action}`,
      readsBody: true,
      handle: async (request) => options.handlers[action](named(options, request)),
    })),
    ...(['get', 'query'] as const).map((action): AdminRoute => ({
      method: 'POST',
      path: `${path}/nodes/${action}`,
      readsBody: true,
      handle: (request) => fromEachNode(options, action, request),
    })),
  ];
}

/** The request as Chroma's API gets it: with the names that the collection is found by. */
function named(
  options: RecordRoutesOptions,
  { body, signal, remoteAddress, ...request }: ClientRequest,
): ClientRequest {
  const { id, tenant, database } = find(options, request.params);
  return {
    method: 'POST',
    params: { tenant, database, collection: id },
    headers: {},
    query: new URLSearchParams(),
    remoteAddress,
    body,
    signal,
  };
}

function find({ catalog }: RecordRoutesOptions, params: ClientRequest['params']): Collection {
  const found = catalog.collection(params['collection'] ?? '');
  if (found?.state === 'ready') return found;
  throw new PolychromeError('not_found', 'This collection does not exist any more.');
}

async function fromEachNode(
  options: RecordRoutesOptions,
  action: 'get' | 'query',
  { params, body: received, signal }: ClientRequest,
): Promise<WholeResponse> {
  const collection = find(options, params);
  const { outline, body } = await options.scanner.outline(action, received);
  const refusal = filterRefusal(outline.filter, options.filterLimits);
  if (refusal !== null) throw new PolychromeError('invalid_argument', refusal.message);
  const results = await options.eachNode({ collection, action, body, signal });
  return { status: 200, body: joined(results), headers: PRIVATE };
}

/** As JSON, with the bodies of the nodes as they are: numbers would not survive parsing. */
function joined(results: readonly NodeReadResult[]): Buffer {
  const parts = results.map(({ response, ...result }, at) => {
    const { status, body, ms } = response ?? { status: null, body: null, ms: null };
    const head = JSON.stringify({ ...result, status, ms }).slice(0, -1);
    // The text of a server's error is JSON too, but that of a proxy before it is not.
    const content = body === null ? 'null' : status === 200 ? body : JSON.stringify(body.toString());
    return Buffer.concat(
      [at === 0 ? '' : ',', head, ',"body":', content, '}'].map((part) => Buffer.from(part)),
    );
  });
  return Buffer.concat([Buffer.from('{"nodes":['), ...parts, Buffer.from(']}')]);
}
