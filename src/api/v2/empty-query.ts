// The response to a query for zero rows. A server whose index holds a deleted record panics on such a query and drops
// the connection (observed on 1.0.5 and 1.5.9). The gateway responds as a server does whose index holds none.

import type { RequestOutline } from '../../chroma/parse/request-outline.ts';
import type { HttpResponse, ResponseWriter } from '../../http/response.ts';

const COLUMNS = ['ids', 'embeddings', 'documents', 'uris', 'metadatas', 'distances'] as const;
const INCLUDE_DEFAULT: readonly string[] = ['documents', 'metadatas', 'distances'];

/** The body of the response to a query for zero rows that a server accepts. */
export function emptyQueryBody({ vectors, include }: RequestOutline): string {
  const included = include === null ? INCLUDE_DEFAULT : (JSON.parse(include) as string[]);
  const rows = Array.from({ length: vectors }, () => []);
  const columns = COLUMNS.map((column) => [
    column,
    column === 'ids' || included.includes(column) ? rows : null,
  ]);
  return JSON.stringify({ ...Object.fromEntries(columns), include: included });
}

const DISCARD: ResponseWriter = {
  head: () => undefined,
  write: async () => undefined,
  closed: false,
};

/** A node's response to the same query for one row, without that row; one of another status is returned as it is. */
export async function withoutRows(response: HttpResponse, outline: RequestOutline): Promise<HttpResponse> {
  if (typeof response === 'function') await response(DISCARD);
  else if (response.status !== 200) return response;
  const found = typeof response === 'function' ? { headers: {} } : response;
  return { ...found, status: 200, body: emptyQueryBody(outline) };
}
