// An HTTP/1.1 server within bounds: it listens, counts and limits connections, and stops gracefully.

import { createServer, type Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { StartupError } from '../errors.ts';
import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import { Connections } from './connections.ts';
import { Pipeline, type PipelineOptions } from './pipeline.ts';

export interface ServerOptions extends Omit<PipelineOptions, 'bodyTimeoutMs'> {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly limits?: Partial<ServerLimits>;
  /** Whether each response is the last on its connection, although requests are served. */
  readonly isLeaving?: () => boolean;
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
  // A head is a few hundred bytes, so only a stalled or hostile client needs longer.
  headersTimeoutMs: 15_000,
  // 40 MiB over a link of 1.2 Mbit/s.
  bodyTimeoutMs: 300_000,
  // Chroma keeps idle connections for ever. Longer than load balancers (60 s) and clients (5 s) keep theirs, so that
  // this server never closes a connection just as a request arrives.
  idleTimeoutMs: 75_000,
  // A client that has not read a byte of its response for this long occupies memory for nothing.
  stallTimeoutMs: 120_000,
};

// Chroma accepts some 400 KiB. A head is held per connection, so less here: the longest target twice over.
const HEAD_BYTES_MAX = 128 * 1024;
const HEADERS_CHECK_MS = 1_000;
// Pending connections; the kernel caps it at net.core.somaxconn.
const BACKLOG = 511;

/** How much the server is holding. */
export interface ServerLoad {
  readonly connections: number;
  /** Connections refused since the start because there were too many. */
  readonly connectionsRefused: number;
  readonly requests: number;
  readonly bodyBytes: number;
  readonly bodiesWaiting: number;
  /** Of responses not complete yet, or not read by their clients. */
  readonly responseBytes: number;
  /** Clients disconnected since the start because their unread responses left no room for others. */
  readonly readersCut: number;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  load(): ServerLoad;
  readonly metrics: readonly Metric[];
  /** Completes the requests being served, refuses others, closes; at the deadline it aborts what still runs. */
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
    requireHostHeader: false, // Chroma does not require one
    noDelay: true,
  });
  server.timeout = limits.stallTimeoutMs;
  server.maxHeadersCount = 0; // Node would drop the excess silently; the pipeline counts instead
  server.maxConnections = limits.connectionsMax;
  const pipeline = new Pipeline({ ...options, bodyTimeoutMs: limits.bodyTimeoutMs });
  const connections = new Connections({
    clock: options.clock,
    serve: (turn) => pipeline.serve(turn),
    failBody: (turn) => pipeline.failBody(turn),
    isLeaving: options.isLeaving,
  });
  connections.attachTo(server);
  await listen(server, options);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  const stop = async (deadlineMs: number): Promise<void> => {
    pipeline.refuse();
    await close(server, { connections, clock: options.clock, deadlineMs });
  };
  let stopped: Promise<void> | null = null;
  return {
    url: `http://${host}:${port}`,
    port,
    load: () => loadOf(connections, pipeline, options),
    metrics: [...connectionMetrics(connections, limits.connectionsMax), ...pipeline.budget.metrics],
    stop: (deadlineMs) => (stopped ??= stop(deadlineMs)),
  };
}

function loadOf(
  connections: Connections,
  { budget }: Pipeline,
  { responseBudget }: ServerOptions,
): ServerLoad {
  return {
    connections: connections.open,
    connectionsRefused: connections.refused,
    requests: connections.serving,
    bodyBytes: budget.usedBytes,
    bodiesWaiting: budget.waiting,
    responseBytes: responseBudget.bytes,
    readersCut: responseBudget.cut,
  };
}

function connectionMetrics(connections: Connections, max: number): Metric[] {
  return [
    {
      kind: 'bound',
      name: 'connections',
      help: 'Open connections.',
      unit: 'connections',
      max,
      read: () => connections.open,
    },
    {
      kind: 'counter',
      name: 'connections_refused',
      help: 'Connections refused because too many were open.',
      unit: 'connections',
      read: () => connections.refused,
    },
    {
      kind: 'gauge',
      name: 'requests',
      help: 'Requests being served.',
      unit: 'requests',
      read: () => connections.serving,
    },
  ];
}

interface Closing {
  readonly connections: Connections;
  readonly clock: Clock;
  readonly deadlineMs: number;
}

async function close(server: Server, { connections, clock, deadlineMs }: Closing): Promise<void> {
  connections.close();
  const closed = new Promise<void>((resolve) => {
    // http.Server's own close() would end idle connections at once, on which a request may be on its way.
    NetServer.prototype.close.call(server, () => resolve());
  });
  const cancel = clock.after(deadlineMs, () => server.closeAllConnections());
  await connections.untilIdle();
  cancel();
  server.close(() => undefined); // ends Node's timer for slow heads
  server.closeAllConnections();
  await closed;
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(explain(error, host, port));
    server.once('error', onError);
    server.listen({ host, port, backlog: BACKLOG }, () => {
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
