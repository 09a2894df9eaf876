// Finds free TCP ports for the children of a local cluster.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { errorCode } from './filesystem-errors.ts';

/** Another program listens on the requested port. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError';
}

// Below the ephemeral ports (Linux 32768–60999, macOS from 49152). While its server restarts, an ephemeral port may be
// assigned to an outgoing connection, and a probe of the stopped server may even connect to itself.
const FIRST_PORT = 20_000;
const LAST_PORT = 31_999;
const TRIES_MAX = 100;

/** Returns true when a server can listen on `port` of `host`. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => {
      if (errorCode(error) === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** Returns a free port on 127.0.0.1 that is not in `except`. */
export async function findFreePort(except: ReadonlySet<number> = new Set()): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (!except.has(port) && (await isPortFree(port))) return port;
  }
  throw new PortTakenError(`No free port found on 127.0.0.1 between ${FIRST_PORT} and ${LAST_PORT}.`);
}
