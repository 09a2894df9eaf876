// I12: no connection to a node is used before its marker has been checked. The check happens inside the function
// that opens connections, over the very socket it then hands out, so there is no connection it could be forgotten
// for, and no moment between check and use in which another server could take the address.

import { isIP, type Socket } from 'node:net';
import { buildConnector } from 'undici';
import type { Clock } from '../../util/clock.ts';
import {
  markerIn,
  MARKER_PATH,
  sameIdentity,
  type Expected,
  type Identity,
  type Marker,
} from './identity.ts';

/**
 * What can go wrong between Polychrome and a node, short of an answer.
 * - `refused`: nothing listens there (ECONNREFUSED): the process is gone. Nothing was sent.
 * - `unanswered`: the connection could not be made, or ended before the whole answer had come; see `sent`.
 * - `timeout`: the deadline of a read, or of opening a connection, passed.
 * - `wrong_identity`, `marker_missing`: the server at this address is not the node it should be. Nothing was sent.
 * - `older_content`: it is, with a marker older than it is known to have held. Nothing was sent.
 * - `too_large`: the answer exceeded its bound.
 * - `aborted`: the caller gave up. When a mutation says so, its request never became complete.
 * - `busy`: as many calls as may wait for a connection wait already. Nothing was sent.
 */
export type NodeErrorCode =
  | 'refused'
  | 'unanswered'
  | 'timeout'
  | 'wrong_identity'
  | 'marker_missing'
  | 'older_content'
  | 'too_large'
  | 'aborted'
  | 'busy';

interface NodeErrorDetails {
  readonly sent?: boolean;
  readonly cause?: unknown;
  readonly identities?: { readonly expected: Identity | null; readonly found: Identity };
}

/** A call to a node that brought no answer. */
export class NodeError extends Error {
  readonly code: NodeErrorCode;
  /** Whether any byte of the request could have reached the node. */
  readonly sent: boolean;
  /** With `wrong_identity`: whom the address should belong to, and who answered. */
  readonly identities: { readonly expected: Identity | null; readonly found: Identity } | null;

  constructor(code: NodeErrorCode, message: string, details: NodeErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'NodeError';
    this.code = code;
    this.sent = details.sent ?? false;
    this.identities = details.identities ?? null;
  }
}

/** How an attempt to connect ended: who answered, null where nobody was asked, or why it failed. */
export type AttemptOutcome = Identity | null | NodeError;

/** When connections to the node were last made and refused; clock.monotonic() in ms, null: never. */
export interface ConnectionFacts {
  readonly connectedAtMs: number | null;
  readonly refusedAtMs: number | null;
  /** The last attempt was refused: the process was gone then. */
  readonly lastAttemptRefused: boolean;
}

/** Keeps the facts about the attempts to connect to one node. */
export class ConnectionAttempts {
  facts: ConnectionFacts = { connectedAtMs: null, refusedAtMs: null, lastAttemptRefused: false };

  note(outcome: AttemptOutcome, nowMs: number): void {
    const lastAttemptRefused = outcome instanceof NodeError && outcome.code === 'refused';
    const connected = !(outcome instanceof NodeError);
    this.facts = {
      connectedAtMs: connected ? nowMs : this.facts.connectedAtMs,
      refusedAtMs: lastAttemptRefused ? nowMs : this.facts.refusedAtMs,
      lastAttemptRefused,
    };
  }
}

export interface ConnectorOptions {
  /** The node's base path, without a slash at its end; '' when it has none. */
  readonly basePath: string;
  /** For opening a connection and, where it is made, checking the marker; ms. */
  readonly connectTimeoutMs: number;
  readonly clock: Clock;
  /** Extra certificate authorities (PEM) for https nodes. */
  readonly ca?: string | Buffer | undefined;
  /** Told of each attempt's end, before the caller is. */
  readonly onAttempt?: (outcome: AttemptOutcome) => void;
}

export interface VerifiedConnectorOptions extends ConnectorOptions {
  /** Who must answer; null means nobody may, and every connection fails. */
  readonly expect: () => Expected | null;
}

// A marker's answer is a collection object: a few hundred bytes, with its schema on newer releases some KiB.
const MARKER_ANSWER_BYTES_MAX = 256 * 1024;
// Idle time after which the kernel asks whether the peer still lives. libuv then asks every second and gives up
// after ten questions, so a machine that lost power ends its connections some 20 s later.
const KEEP_ALIVE_DELAY_MS = 10_000;

/** undici's `connect` for a node whose identity is known; the socket it passes on has proved that identity. */
export function createVerifiedConnector(options: VerifiedConnectorOptions): buildConnector.connector {
  return createConnector(options, (socket, target, done) => {
    // As known before the node is asked: a marker written meanwhile may be missing from its answer.
    const markerLSN = options.expect()?.markerLSN ?? 0;
    askMarker(socket, hostHeader(target), options.basePath, (error, answer) => {
      if (error) return done(error);
      const found = judgeMarker(answer, options.expect(), markerLSN);
      if (found instanceof NodeError) return done(found);
      done(null, found);
    });
  });
}

/** undici's `connect` for a server that has no identity yet: for giving a node its first marker, nothing else. */
export function createUnverifiedConnector(options: ConnectorOptions): buildConnector.connector {
  return createConnector(options, (_socket, _target, done) => done(null));
}

type Verdict = (error: NodeError | null, identity?: Identity) => void;
type Check = (socket: Socket, target: buildConnector.Options, done: Verdict) => void;

function createConnector(options: ConnectorOptions, check: Check): buildConnector.connector {
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
    const settle = (error: NodeError | null, socket: Socket | null, identity?: Identity): void => {
      if (settled) return;
      settled = true;
      cancel();
      options.onAttempt?.(error ?? identity ?? null);
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
      check(socket, target, (failure, identity) => settle(failure, socket, identity));
    });
  };
}

function connectFailure(error: Error): NodeError {
  // Of "localhost", node tries several addresses; the process is gone only when all of them refuse.
  const causes: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const refused = causes.every(
    (cause) => cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED',
  );
  if (refused) return new NodeError('refused', 'the connection was refused', { cause: error });
  const reasons = causes.map(connectReason).join('; ');
  return new NodeError('unanswered', `no connection could be made (${reasons})`, { cause: error });
}

// What Node's TLS calls certificates and handshakes that fail.
const TLS_CODES = /CERT|SELF_SIGNED|^ERR_(?:TLS|SSL)|^EPROTO$|^UNABLE_TO_/;

/** Why a connection could not be made, for operators. */
function connectReason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  return TLS_CODES.test(code) ? `TLS: ${cause.message}` : cause.message;
}

function hostHeader(target: buildConnector.Options): string {
  const host = isIP(target.hostname) === 6 ? `[${target.hostname}]` : target.hostname;
  return target.port ? `${host}:${target.port}` : host;
}

/** Sends one GET for the marker and collects its answer; leaves no listener of its own on the socket. */
function askMarker(
  socket: Socket,
  host: string,
  basePath: string,
  done: (error: NodeError | null, answer: RawAnswer) => void,
): void {
  const nothing: RawAnswer = { status: 0, body: Buffer.alloc(0) };
  let received: Buffer = nothing.body;

  const finish = (error: NodeError | null, answer = nothing): void => {
    socket.off('readable', onReadable).off('end', onGone).off('close', onGone).off('error', onGone);
    done(error, answer);
  };
  const onGone = (cause?: unknown): void => {
    finish(new NodeError('unanswered', 'the connection ended during the marker check', { cause }));
  };
  // Paused mode ('readable' and read), as undici reads: a 'data' listener would leave the socket flowing, and
  // bytes that arrive before undici listens would be lost.
  const onReadable = (): void => {
    for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) {
      received = Buffer.concat([received, chunk]);
    }
    if (received.length > MARKER_ANSWER_BYTES_MAX) {
      return finish(new NodeError('unanswered', 'the answer to the marker check is too large'));
    }
    try {
      const answer = parseAnswer(received);
      if (answer !== null) finish(null, answer);
    } catch (error) {
      finish(new NodeError('unanswered', 'the answer to the marker check is not usable', { cause: error }));
    }
  };
  socket.on('readable', onReadable).on('end', onGone).on('close', onGone).on('error', onGone);
  socket.write(`GET ${basePath}${MARKER_PATH} HTTP/1.1\r\nhost: ${host}\r\naccept: application/json\r\n\r\n`);
}

export interface RawAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/**
 * Takes one HTTP/1.1 answer that must be all there is in `bytes`; null while it is incomplete. Throws when it is not
 * an answer after which the connection can be used: other versions, a close, no length, or bytes behind it (nothing
 * was asked yet to which they could belong).
 */
export function parseAnswer(bytes: Buffer): RawAnswer | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const lines = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(lines[0] ?? '')?.[1];
  if (status === undefined) throw new Error('not an HTTP/1.1 answer');

  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 1) throw new Error('malformed header');
    if (name === 'content-length' && headers.has(name)) throw new Error('two lengths');
    headers.set(name, line.slice(colon + 1).trim());
  }
  if (headers.get('connection')?.toLowerCase() === 'close')
    throw new Error('the server closes after one answer');

  const rest = bytes.subarray(headEnd + 4);
  const body = headers.has('transfer-encoding')
    ? chunkedBody(headers.get('transfer-encoding'), rest)
    : sizedBody(headers.get('content-length'), rest);
  return body === null ? null : { status: Number(status), body };
}

function sizedBody(length: string | undefined, rest: Buffer): Buffer | null {
  if (length === undefined || !/^\d{1,9}$/.test(length)) throw new Error('no usable content-length');
  if (rest.length > Number(length)) throw new Error('bytes behind the answer');
  return rest.length < Number(length) ? null : rest;
}

function chunkedBody(encoding: string | undefined, rest: Buffer): Buffer | null {
  if (encoding?.toLowerCase() !== 'chunked') throw new Error('unknown transfer-encoding');
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd === -1) return null;
    const size = /^([0-9a-f]{1,7})(?:;|$)/i.exec(rest.toString('latin1', at, lineEnd))?.[1];
    if (size === undefined) throw new Error('malformed chunk');
    const start = lineEnd + 2;
    const end = start + Number.parseInt(size, 16);
    if (rest.length < end + 2) return null;
    if (rest.toString('latin1', end, end + 2) !== '\r\n') throw new Error('malformed chunk or trailer');
    if (end === start) {
      if (rest.length > end + 2) throw new Error('bytes behind the answer');
      return Buffer.concat(parts);
    }
    parts.push(rest.subarray(start, end));
    at = end + 2;
  }
}

/** Who answered the marker check, or why that one may not be used; `markerLSN` is what its marker must have reached. */
export function judgeMarker(
  answer: RawAnswer,
  expected: Identity | null,
  markerLSN: number,
): Identity | NodeError {
  const found = markerFrom(answer);
  if (found instanceof NodeError) return found;
  if (expected === null || !sameIdentity(expected, found)) return wrongIdentity(expected, found);
  const checkpoint = found.progress?.checkpoint ?? 0;
  return checkpoint < markerLSN ? olderContent(checkpoint, markerLSN) : found;
}

function markerFrom(answer: RawAnswer): Marker | NodeError {
  if (answer.status === 404) return new NodeError('marker_missing', 'the server holds no marker');
  if (answer.status !== 200) {
    return new NodeError('unanswered', `the marker check was answered with status ${answer.status}`);
  }
  try {
    return markerIn(answer.body) ?? new NodeError('marker_missing', "the server's marker names no node");
  } catch (error) {
    return new NodeError('unanswered', 'the answer to the marker check is not usable', { cause: error });
  }
}

function wrongIdentity(expected: Identity | null, found: Identity): NodeError {
  const asked = expected === null ? 'nobody' : `${expected.cluster}/${expected.node}/${expected.incarnation}`;
  const message = `expected ${asked}, found ${found.cluster}/${found.node}/${found.incarnation}`;
  return new NodeError('wrong_identity', message, { identities: { expected, found } });
}

function olderContent(checkpoint: number, markerLSN: number): NodeError {
  const message = `the node came back with older content: its marker says LSN ${checkpoint}, and had said ${markerLSN}`;
  return new NodeError('older_content', message);
}
