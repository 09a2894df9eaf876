// Serves requests only from current knowledge: a gateway that stands by, or cannot ask, never says that something does not
// exist.

import { PolychromeError } from '../../errors.ts';
import type { HttpResponse, WholeResponse } from '../../http/response.ts';
import type { ClientRequest, RequestHead, Router, RouteMatch } from '../../http/router.ts';

/** What this gateway knows of the cluster. */
export interface KnownState {
  /** Why it cannot serve any request; null when it can. */
  refusal(): PolychromeError | null;
  /** Whether other gateways may have changed what exists. */
  readonly isOutdated: boolean;
}

// They say nothing about the state of the cluster.
const CONSTANT = new Set(['version', 'preflight', 'identity', 'openapi', 'docs', 'docs_redirect']);
const LISTS = new Set(['list_collections', 'count_collections', 'list_databases']);

/** The same routes, of the v2 and the v1 API, refused with 503 where this gateway cannot know the response. */
export function knownStateRouter(router: Router, knowledge: KnownState): Router {
  return {
    match(method, path) {
      const match = router.match(method, path);
      return typeof match === 'string' ? match : requireKnownState(match, knowledge);
    },
    allowedMethods: (path) => router.allowedMethods(path),
  };
}

function requireKnownState(match: RouteMatch, knowledge: KnownState): RouteMatch {
  const name = match.name.replace(/^v1 /, '');
  if (CONSTANT.has(name)) return match;
  return {
    ...match,
    admit(head: RequestHead) {
      const refusal = knowledge.refusal();
      if (refusal !== null) throw refusal;
      return match.admit(head);
    },
    handle: (request: ClientRequest) =>
      knowledge.isOutdated ? handleOutdated(name, () => match.handle(request)) : match.handle(request),
  };
}

async function handleOutdated(name: string, handle: () => Promise<HttpResponse>): Promise<HttpResponse> {
  if (LISTS.has(name)) throw notCurrent();
  try {
    const response = await handle();
    if (typeof response !== 'function' && saysMissing(response)) throw notCurrent();
    return response;
  } catch (error) {
    if (error instanceof PolychromeError && error.code === 'not_found') throw notCurrent();
    throw error;
  }
}

/** The v1 API says of a missing collection 400 InvalidCollection. */
function saysMissing({ status, body }: WholeResponse): boolean {
  return status === 404 || (status === 400 && String(body).includes('"InvalidCollection"'));
}

const notCurrent = (): PolychromeError =>
  new PolychromeError(
    'log_unavailable',
    'PostgreSQL cannot be reached, so this gateway does not know what exists at present. Nothing was changed. Try again.',
  );
