// The response to a query for zero rows. A server whose index holds a deleted record panics on such a query and drops
// the connection (observed on 1.0.5 and 1.5.9). The gateway responds as a server does whose index holds none.

import type { RequestOutline } from '../../chroma/parse/request-outline.ts';
import type { HttpResponse, ResponseWriter } from '../../http/response.ts';

const COLUMNS = ['ids', 'embeddings', 'documents', 'uris', 'metadatas', 'distances'] as const;
const INCLUDE_DEFAULT: readonly string[] = ['documents', 'metadatas', 'distances'];

/** The body of the response to a query for zero rows, for a request that a server takes. */
export function emptyQueryAnswer({ vectors, include }: RequestOutline): string {
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

/** A node's answer to the same query for one row, without that row; an answer of another status stays as it is. */
export async function withoutRows(answer: HttpResponse, outline: RequestOutline): Promise<HttpResponse> {
  if (typeof answer === 'function') await answer(DISCARD);
  else if (answer.status !== 200) return answer;
  const headers = typeof answer === 'function' ? {} : answer.headers;
  return { status: 200, body: emptyQueryAnswer(outline), ...(headers === undefined ? {} : { headers }) };
}
