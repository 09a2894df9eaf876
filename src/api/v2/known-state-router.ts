// Serves requests only from current knowledge: what other gateways have acknowledged is asked for first, and a gateway that
// cannot ask never says that something does not exist.

import { PolychromeError } from '../../errors.ts';
import type { HttpResponse, WholeResponse } from '../../http/response.ts';
import type { ClientRequest, RequestHead, Router, RouteMatch } from '../../http/router.ts';

/** What this gateway knows of the cluster. */
export interface KnownState {
  /** Why it cannot serve a request; null when it can. `seesAnyState`: the request is content with any earlier state. */
  refusal(options: { readonly seesAnyState: boolean }): PolychromeError | null;
  /** Whether other gateways may have changed what exists. */
  readonly isOutdated: boolean;
  /**
   * Resolves when everything is known that any gateway acknowledged before the call; null when it is at once. Throws
   * log_unavailable.
   */
  refreshed(): Promise<void> | null;
  /** The consistency level at which a request is served that names this one, or none; `echoes`: it names an LSN. */
  level(named: string | null, echoes: boolean): string;
}

// They say nothing about the state of the cluster.
const CONSTANT = new Set(['version', 'preflight', 'identity', 'openapi', 'docs', 'docs_redirect']);
// Whether this gateway serves is all that they say.
const HEALTH = new Set(['heartbeat', 'healthcheck']);
const LISTS = new Set(['list_collections', 'count_collections', 'list_databases']);
const RECORD_READS = new Set(['get', 'query', 'count']);
// The log decides about them; only a collection that is not known here yet needs a look first.
const RECORD_WRITES = new Set(['add', 'upsert', 'update', 'delete']);

/** The same routes, of the v2 and the v1 API, refused with 503 where this gateway cannot know the response. */
export function knownStateRouter(router: Router, known: KnownState): Router {
  return {
    match(method, path) {
      const match = router.match(method, path);
      return typeof match === 'string' ? match : requireKnownState(match, known);
    },
    allowedMethods: (path) => router.allowedMethods(path),
  };
}

function requireKnownState(match: RouteMatch, known: KnownState): RouteMatch {
  const name = match.name.replace(/^v1 /, '');
  if (CONSTANT.has(name)) return match;
  const isRead = RECORD_READS.has(name);
  const levelOf = ({ headers }: RequestHead): string => {
    const named = headers['x-polychrome-consistency'];
    const echoes = headers['x-polychrome-lsn'] !== undefined;
    return known.level(typeof named === 'string' ? named : null, echoes);
  };
  return {
    ...match,
    admit(head: RequestHead) {
      const refusal = known.refusal({ seesAnyState: isRead && levelOf(head) === 'eventual' });
      if (refusal !== null) throw refusal;
      return match.admit(head);
    },
    async handle(request: ClientRequest) {
      const handle = (): Promise<HttpResponse> => match.handle(request);
      if (known.isOutdated) return handleOutdated(name, handle);
      if (HEALTH.has(name)) return handle();
      if (RECORD_WRITES.has(name) || (isRead && levelOf(request) !== 'strong'))
        return refreshedIfMissing(known, handle);
      await known.refreshed();
      return handle();
    },
  };
}

/** What is missing here may have been created through another gateway. */
async function refreshedIfMissing(
  known: KnownState,
  handle: () => Promise<HttpResponse>,
): Promise<HttpResponse> {
  const outcome = await handle().catch((error: unknown) => {
    if (error instanceof PolychromeError && error.code === 'not_found') return error;
    throw error;
  });
  const isMissing =
    outcome instanceof PolychromeError || (typeof outcome !== 'function' && saysMissing(outcome));
  const refreshed = isMissing ? known.refreshed() : null;
  if (refreshed !== null) {
    await refreshed;
    return handle();
  }
  if (outcome instanceof PolychromeError) throw outcome;
  return outcome;
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
