// Small HTTP servers in place of a node, and clients to them; both are closed after the test.

import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import type { Server, Socket } from 'node:net';
import { afterEach } from 'vitest';
import { MARKER_PATH, type Identity } from '../../src/chroma/client/identity.ts';
import {
  createNodeClient,
  type NodeClient,
  type NodeClientOptions,
} from '../../src/chroma/client/node-client.ts';
import { NodeError } from '../../src/chroma/client/node-error.ts';
import { systemClock } from '../../src/util/clock.ts';

export const me: Identity = { cluster: 'c', node: 'n1', incarnation: 'i1' };
export const SMALL = Buffer.from('{"a":1}');
export const LARGE = Buffer.alloc(3 * 1024 * 1024, 'x');

export const cleanUps: (() => void)[] = [];

/**
 * Closes the servers and clients of each test. Every test file that imports this module calls it: files of a thread share
 * their modules, so a hook of the module itself would belong to the first of them only.
 */
export function closeAfterEach(): void {
  afterEach(() => {
    for (const cleanUp of cleanUps.splice(0)) cleanUp();
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export async function listening(server: Server, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return portOf(server);
}

/** A node that responds with its marker and leaves other requests to `serve`. */
export function nodeServer(
  serve: (request: IncomingMessage, response: ServerResponse) => void,
  identity: () => Identity = () => me,
): HttpServer {
  return createHttpServer((request, response) => {
    if (!request.url?.endsWith(MARKER_PATH)) return serve(request, response);
    const body = JSON.stringify({ id: 'x', metadata: identity() });
    response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body);
  });
}

export function clientTo(
  port: number,
  options: Partial<NodeClientOptions> = {},
  expected = (): Identity => me,
): NodeClient {
  const client = createNodeClient({
    url: `http://127.0.0.1:${port}`,
    clock: systemClock,
    ...options,
    expect: expected,
  });
  cleanUps.push(() => void client.destroy());
  return client;
}

export async function failure(call: Promise<unknown>): Promise<NodeError> {
  const outcome: unknown = await call.catch((error: unknown) => error);
  if (outcome instanceof NodeError) return outcome;
  throw new Error('a NodeError was expected', { cause: outcome });
}

export const get = (client: NodeClient, path = '/x', signal?: AbortSignal): ReturnType<NodeClient['read']> =>
  client.read({ method: 'GET', path, deadlineMs: 10_000, ...(signal === undefined ? {} : { signal }) });
export const post = (
  client: NodeClient,
  body: Buffer,
  beforeLast = (): void => {},
): ReturnType<NodeClient['mutate']> => client.mutate({ method: 'POST', path: '/w', body, beforeLast });

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(request, 'end');
  return Buffer.concat(chunks);
}

/** Resolves when bytes in transit within this process have arrived. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
}

/** A promise with its resolve function. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
