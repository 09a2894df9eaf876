// Limits the bodies of requests that are not about records.

import type { Handler } from '../../http/router.ts';
import { PolychromeError } from '../../errors.ts';

// These bodies are read on the event loop, several times, and once more for each node: 33 MiB of metadata held it for
// 38 s on a busy machine, longer than the lease.
export const SMALL_BYTES_MAX = 1024 * 1024;

const TOO_LARGE = `The body of a request that is not about records can have at most ${SMALL_BYTES_MAX} bytes. Nothing was changed.`;

/** The handlers, each of which refuses a body above the limit. */
export function withSmallBodies<Handlers extends Readonly<Record<string, Handler>>>(
  handlers: Handlers,
): Handlers {
  const limited = Object.entries(handlers).map(([route, handle]): [string, Handler] => [
    route,
    async (request) => {
      if (request.body.length > SMALL_BYTES_MAX) throw new PolychromeError('invalid_argument', TOO_LARGE);
      return handle(request);
    },
  ]);
  return Object.fromEntries(limited) as Handlers;
}
