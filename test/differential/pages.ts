// A page of a list whose order is the server's own: it must be that part of the server's whole list, and the whole list
// is what the two sides are compared by.

import type { EndpointResponse } from './endpoint.ts';
import { elements } from './normalise.ts';
import type { Operation } from './operation.ts';

/** The operation that asks for all of what `operation` asks a page of. */
export function wholeOf(operation: Operation): Operation {
  return { action: 'whole list', method: operation.method, path: operation.path.replace(/\?.*$/s, '') };
}

/** What is wrong with a page that a server gave, held against its whole list; null when it is that part of it. */
export function pageFault(
  { path }: Operation,
  page: EndpointResponse,
  whole: EndpointResponse,
): string | null {
  const [some, all] = [elements(page), elements(whole)];
  if (some === null || all === null) return some === null ? null : 'there is a page, but no whole list';
  const query = new URLSearchParams(path.replace(/^[^?]*/, ''));
  const offset = Number(query.get('offset') ?? 0);
  const limit = query.has('limit') ? Number(query.get('limit')) : all.length;
  const expected = all.slice(offset, offset + limit);
  const equal = some.length === expected.length && some.every((element, at) => element === expected[at]);
  return equal ? null : `not the part from ${offset} of ${limit} of the whole list`;
}
