// Opens connections to a node and checks its marker on each one before it is used (I12).
//
// The check runs in the function that opens connections, on the socket that it then returns. So it cannot be omitted,
// and no other server can take over the address between check and use.

import { isIP, type Socket } from 'node:net';
import { buildConnector } from 'undici';
import type { Clock } from '../../util/clock.ts';
import { HttpResponseParser } from '../../util/http-response.ts';
import type { ChromaResponse } from '../protocol/response-effect.ts';
import {
  markerIn,
  MARKER_PATH,
  sameIdentity,
  type Expected,
  type Identity,
  type Marker,
  type Refuses,
} from './identity.ts';
import { NodeError } from './node-error.ts';

export interface ConnectorOptions {
  /** The node's base path without a slash at its end; '' when it has none. */
  readonly basePath: string;
  /** For opening a connection and checking the marker; ms. */
  readonly connectTimeoutMs: number;
  readonly clock: Clock;
  /** Additional certificate authorities (PEM) for https nodes. */
  readonly ca?: string | Buffer | undefined;
}

export interface VerifiedConnectorOptions extends ConnectorOptions {
  /** Identity that the server must prove; null means that every connection fails. */
  readonly expect: () => Expected | null;
  /** Called with the identity of each connection before it is returned. */
  readonly onVerified?: (identity: Identity) => void;
}

// The response is a collection object: a few hundred bytes, with its schema on newer releases some KiB.
const MARKER_BYTES_MAX = 256 * 1024;
// Idle time after which the kernel probes the peer. libuv then probes every second and gives up after ten probes, so
// connections to a machine that lost power end some 20 s later.
const KEEP_ALIVE_DELAY_MS = 10_000;

/** undici's `connect` for a node with a known identity; the socket it returns has proved that identity. */
export function createVerifiedConnector(options: VerifiedConnectorOptions): buildConnector.connector {
  return createConnector(options, (socket, target, done) => {
    // Read before the request: a marker written meanwhile may be missing from the response.
    const markerLSN = options.expect()?.markerLSN ?? 0;
    const request = { host: hostHeader(target), basePath: options.basePath };
    requestMarker(socket, request, (response) => {
      if (response instanceof NodeError) return done(response);
      const found = checkMarker(response, options.expect(), markerLSN);
      if (found instanceof NodeError) return done(found);
      options.onVerified?.(found);
      done(null);
    });
  });
}

/** undici's `connect` for a server without an identity; only for giving a node its first marker. */
export function createUnverifiedConnector(
  options: ConnectorOptions,
  refuses: Refuses | null = null,
): buildConnector.connector {
  return createConnector(options, (socket, target, done) => {
    if (refuses === null) return done(null);
    const request = { host: hostHeader(target), basePath: options.basePath };
    requestMarker(socket, request, (response) =>
      done(response instanceof NodeError ? response : checkRefusal(response, refuses)),
    );
  });
}

/** Null when the server that responded may be used. */
export function checkRefusal(response: ChromaResponse, refuses: Refuses): NodeError | null {
  const found = markerFrom(response);
  if (found instanceof NodeError && found.code !== 'marker_missing') return found;
  const reason = refuses(found instanceof NodeError ? null : found);
  return reason === null ? null : new NodeError('wrong_identity', reason);
}

type SocketCheck = (
  socket: Socket,
  target: buildConnector.Options,
  done: (error: NodeError | null) => void,
) => void;

function createConnector(options: ConnectorOptions, check: SocketCheck): buildConnector.connector {
  const clock = options.clock;
  const open = buildConnector({
    allowH2: false,
    timeout: options.connectTimeoutMs, // frees the socket; the timer below bounds connecting and checking together
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    ca: options.ca,
  });

  return (target, callback) => {
    let opened: Socket | null = null;
    let settled = false;
    const settle = (error: NodeError | null, socket: Socket | null): void => {
      if (settled) return;
      settled = true;
      cancel();
      if (error === null && socket !== null) return callback(null, socket);
      socket?.destroy();
      callback(error ?? new NodeError('unanswered', 'no connection could be made'), null);
    };
    const cancel = clock.after(options.connectTimeoutMs, () => {
      const message = `no usable connection within ${options.connectTimeoutMs} ms`;
      settle(new NodeError('timeout', message), opened);
    });
    open(target, (error, socket) => {
      if (settled) return void socket?.destroy();
      if (error !== null) return settle(connectFailure(error), null);
      opened = socket;
      check(socket, target, (failure) => settle(failure, socket));
    });
  };
}

function connectFailure(error: Error): NodeError {
  // For "localhost", Node tries several addresses; the process is gone only when all of them refuse.
  const causes: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const refused = causes.every(
    (cause) => cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED',
  );
  if (refused) return new NodeError('refused', 'the connection was refused', { cause: error });
  return new NodeError('unanswered', 'no connection could be made', { cause: error });
}

function hostHeader(target: buildConnector.Options): string {
  const host = isIP(target.hostname) === 6 ? `[${target.hostname}]` : target.hostname;
  return target.port ? `${host}:${target.port}` : host;
}

/** Requests the marker and collects the response; leaves no listener of its own on the socket. */
function requestMarker(
  socket: Socket,
  { host, basePath }: { readonly host: string; readonly basePath: string },
  done: (response: ChromaResponse | NodeError) => void,
): void {
  const parser = new HttpResponseParser({ isStrict: true, bodyBytesMax: MARKER_BYTES_MAX });
  const finish = (response: ChromaResponse | NodeError): void => {
    socket.off('readable', onReadable).off('end', onEnded).off('close', onEnded).off('error', onEnded);
    done(response);
  };
  const onEnded = (cause?: unknown): void => {
    finish(new NodeError('unanswered', 'the connection ended during the marker check', { cause }));
  };
  // Paused mode ('readable' and read), as undici reads: a 'data' listener would leave the socket flowing, and bytes
  // that arrive before undici listens would be lost.
  const onReadable = (): void => {
    try {
      for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) {
        if (!parser.push(chunk)) continue;
        assertReusable(parser, socket);
        return finish({ status: parser.status, body: parser.body });
      }
    } catch (error) {
      finish(new NodeError('unanswered', 'the response to the marker check is not usable', { cause: error }));
    }
  };
  socket.on('readable', onReadable).on('end', onEnded).on('close', onEnded).on('error', onEnded);
  socket.write(`GET ${basePath}${MARKER_PATH} HTTP/1.1\r\nhost: ${host}\r\naccept: application/json\r\n\r\n`);
}

/** Throws unless the connection can carry a request after this response: open, and nothing received beyond it. */
function assertReusable(parser: HttpResponseParser, socket: Socket): void {
  if (!parser.keepAlive) throw new Error('the server closes the connection after one response');
  if (parser.surplusBytes > 0 || socket.readableLength > 0) throw new Error('bytes behind the response');
}

/** The identity that the marker proves, or why it must not be used. `markerLSN` is the LSN that it must have reached. */
export function checkMarker(
  response: ChromaResponse,
  expected: Identity | null,
  markerLSN: number,
): Identity | NodeError {
  const found = markerFrom(response);
  if (found instanceof NodeError) return found;
  if (expected === null || !sameIdentity(expected, found)) return wrongIdentity(expected, found);
  const checkpoint = found.progress?.checkpoint ?? 0;
  return checkpoint < markerLSN ? olderContent(checkpoint, markerLSN) : found;
}

function markerFrom(response: ChromaResponse): Marker | NodeError {
  if (response.status === 404) return new NodeError('marker_missing', 'the server holds no marker');
  if (response.status !== 200) {
    const detail = response.body.toString('utf8', 0, 300);
    const message = `the marker check failed with status ${response.status}: ${detail}`;
    return new NodeError('unanswered', message, { status: response.status });
  }
  try {
    return markerIn(response.body) ?? new NodeError('marker_missing', "the server's marker names no node");
  } catch (error) {
    return new NodeError('unanswered', 'the response to the marker check is not usable', { cause: error });
  }
}

function wrongIdentity(expected: Identity | null, found: Identity): NodeError {
  const name = ({ cluster, node, incarnation }: Identity): string => `${cluster}/${node}/${incarnation}`;
  const wanted = expected === null ? 'no node' : name(expected);
  return new NodeError('wrong_identity', `expected ${wanted}, found ${name(found)}`);
}

function olderContent(checkpoint: number, markerLSN: number): NodeError {
  const message = `the node has older content: its marker was at LSN ${markerLSN} and is at LSN ${checkpoint} now`;
  return new NodeError('older_content', message);
}
