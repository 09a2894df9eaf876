// An HTTP server with a few routes of its own, for tests of src/http.

import { ERROR_RESPONSES } from '../../src/api/v2/error-responses.ts';
import type { WholeResponse } from '../../src/http/response.ts';
import type { ServedRequest } from '../../src/http/request-stats.ts';
import { ResponseBudget } from '../../src/http/response-budget.ts';
import type { Handler, RequestHead, Router } from '../../src/http/router.ts';
import { startServer, type RunningServer, type ServerOptions } from '../../src/http/server.ts';
import { ManualClock } from './manual-clock.ts';

export const BODY_BYTES_MAX = 256 * 1024;

/** By method and path, as in 'GET /a'. Routes with POST read a body. */
export type TestRoutes = Readonly<Record<string, Handler>>;

export interface TestServer {
  readonly server: RunningServer;
  readonly clock: ManualClock;
  readonly logged: object[];
  /** Requests that were counted. */
  readonly served: ServedRequest[];
}

export function testRouter(
  routes: TestRoutes,
  admit: (head: RequestHead) => Promise<WholeResponse | null> | WholeResponse | null = () => null,
): Router {
  const methodsOf = (path: string): string[] =>
    Object.keys(routes).flatMap((key) => (key.endsWith(` ${path}`) ? [key.slice(0, -path.length - 1)] : []));
  return {
    match(method, path) {
      const methods = methodsOf(path);
      if (methods.length === 0) return 'not_found';
      const handle = routes[`${method === 'HEAD' ? 'GET' : method} ${path}`];
      if (handle === undefined) return 'method_not_allowed';
      const readsBody = method === 'POST';
      return { name: path, params: {}, readsBody, admit, trimBody: (body) => body, handle };
    },
    allowedMethods: (path) => methodsOf(path).join(','),
  };
}

/** Starts a server on a free port; the caller stops it with stopTestServer. */
export async function startTestServer(
  routes: TestRoutes,
  options: Partial<ServerOptions> = {},
): Promise<TestServer> {
  const clock = new ManualClock();
  const logged: object[] = [];
  const served: ServedRequest[] = [];
  const server = await startServer({
    host: '127.0.0.1',
    port: 0,
    router: testRouter(routes),
    errors: ERROR_RESPONSES,
    clock,
    logger: { error: (fields) => logged.push(fields) },
    maxBodyBytes: BODY_BYTES_MAX,
    bodyBudgetBytes: 2 * BODY_BYTES_MAX,
    responseBudget: new ResponseBudget({ clock }),
    requests: { observe: (request) => served.push(request) },
    corsAllowOrigins: [],
    ...options,
  });
  return { server, clock, logged, served };
}

export async function stopTestServer({ server, clock }: Pick<TestServer, 'server' | 'clock'>): Promise<void> {
  const stopped = server.stop(0);
  clock.advance(0);
  await stopped;
}
