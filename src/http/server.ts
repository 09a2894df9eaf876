// The HTTP server itself: how it listens, and within which bounds. What it does with a request is in door.ts.

import { createServer, type Server } from 'node:http';
import { StartupError } from '../errors.ts';
import { Door, type DoorOptions, type ServerLoad } from '../api/v2/front-end.ts';

export type { HttpResponse, ResponseWriter } from './response.ts';
export type { ClientRequest, Handler } from './request.ts';

export interface ServerOptions extends Omit<DoorOptions, 'bodyTimeoutMs'> {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly limits?: Partial<ServerLimits>;
}

/** Bounds that need no setting. */
export interface ServerLimits {
  readonly connectionsMax: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

const DEFAULT_LIMITS: ServerLimits = {
  // An idle connection costs some 20 KiB; clients keep ten to a hundred each (httpx, undici), so this is room for
  // hundreds of clients, and 200 MiB.
  connectionsMax: 10_000,
  // A head is a few hundred bytes: whoever needs longer than this is not trying.
  headersTimeoutMs: 15_000,
  // 40 MiB over a link of 1.2 Mbit/s.
  bodyTimeoutMs: 300_000,
  // Chroma keeps idle connections for ever. Longer than load balancers (60 s) and clients (5 s) keep theirs, so that
  // it is never we who close a connection just as a request comes.
  idleTimeoutMs: 75_000,
  // A client that has not read a byte of its answer for this long holds memory for nothing.
  stallTimeoutMs: 120_000,
};

// Chroma takes some 400 KiB. A head is held per connection, so less here: the longest target twice over.
const HEAD_BYTES_MAX = 128 * 1024;
const HEADERS_CHECK_MS = 1_000;

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  load(): ServerLoad;
  /** Answers what is in hand, refuses the rest, closes; at the deadline whatever still runs is cut off. */
  stop(deadlineMs: number): Promise<void>;
}

/** Listens; rejects with StartupError when the port is taken. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const server = createServer({
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: HEADERS_CHECK_MS,
    requestTimeout: 0, // the body reader has bounds of its own, which do not count the wait for the budget
    keepAliveTimeout: limits.idleTimeoutMs,
    requireHostHeader: false, // Chroma does not ask for one
    noDelay: true,
  });
  server.timeout = limits.stallTimeoutMs;
  server.maxHeadersCount = 0; // Node would drop what exceeds it in silence; counted below instead
  server.maxConnections = limits.connectionsMax;
  const door = new Door(server, { ...options, bodyTimeoutMs: limits.bodyTimeoutMs });
  await listen(server, options);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    port,
    load: () => door.load(),
    stop: (deadlineMs) => door.stop(deadlineMs),
  };
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(explain(error, host, port));
    server.once('error', onError);
    server.listen({ host, port, backlog: 511 }, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE') {
    return new StartupError(
      `Port ${port} on ${host} is in use by another program. Stop it, or choose another port.`,
    );
  }
  if (error.code === 'EACCES') {
    return new StartupError(`Port ${port} on ${host} may not be used by this user. Choose one above 1023.`);
  }
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return new StartupError(
      `${host} is not an address of this machine, so port ${port} there cannot be used.`,
    );
  }
  return error;
}
