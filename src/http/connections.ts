// Connections and the order of requests on each: one request of a connection is served at a time, in the order sent.
// Also the responses that end a connection, and ending it so that the client can still read them.

import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../util/clock.ts';
import { headerList, sendWhole, type ServerHeaders, type WholeResponse } from './response.ts';
import { declaredLength } from './request-body.ts';
import { SMALL_BODY_BYTES } from './byte-budget.ts';

// No client in use pipelines; this many short requests fit into a few packets.
const PIPELINED_MAX = 256;
// How long, and how many bytes of what a client still sends, are read and discarded after a response that ends the
// connection. Closing with bytes unread makes the kernel reset the connection, and the response would be lost.
const LINGER_MS = 10_000;
const LINGER_BYTES = 128 * 1024 * 1024;

interface Connection {
  readonly socket: Socket;
  current: Turn | null;
  readonly waiting: Turn[];
  /** Status for what the parser could not parse, sent after the responses to everything before it. */
  broken: number | null;
  /** The last response has been sent; what still comes is discarded. */
  ending: boolean;
}

export interface ConnectionsOptions {
  readonly clock: Clock;
  readonly serve: (turn: Turn) => void;
  /** Whether each response is the last on its connection, although requests are served. */
  readonly isLeaving?: (() => boolean) | undefined;
  /** Responds to a request whose body could not be parsed, by ending its connection. */
  readonly failBody: (turn: Turn) => void;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<Duplex, Connection>();
  #serving = 0;
  #refused = 0;
  #closing = false;
  #onIdle: (() => void)[] = [];

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Connections now open. */
  get open(): number {
    return this.#connections.size;
  }

  /** Requests now being served. */
  get serving(): number {
    return this.#serving;
  }

  /** Connections refused since the start because there were too many. */
  get refused(): number {
    return this.#refused;
  }

  /** From now on every response is the last on its connection. */
  close(): void {
    this.#closing = true;
  }

  /** Resolves when no request is being served. */
  untilIdle(): Promise<void> {
    if (this.#serving === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  attachTo(server: Server): void {
    server.on('connection', (socket: Socket) => this.#opened(socket));
    server.on('request', (request, response) => this.#arrived(new Turn(request, response, false)));
    server.on('checkContinue', (request, response) => this.#arrived(new Turn(request, response, true)));
    // Chroma ignores expectations it does not know.
    server.on('checkExpectation', (request, response) => this.#arrived(new Turn(request, response, false)));
    server.on('clientError', (error, socket) => this.#broke(error, socket));
    server.on('connect', (_request, socket) => this.#unroutable(socket));
    server.on('drop', () => (this.#refused += 1));
    server.on('timeout', (socket) => this.#stalled(socket));
  }

  #opened(socket: Socket): void {
    const connection: Connection = { socket, current: null, waiting: [], broken: null, ending: false };
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      connection.waiting.length = 0;
      this.#connections.delete(socket);
    });
  }

  #arrived(turn: Turn): void {
    const connection = this.#connections.get(turn.request.socket);
    if (connection === undefined || connection.ending) return;
    if (connection.current === null) return this.#begin(connection, turn);
    connection.waiting.push(turn);
    if (connection.waiting.length > PIPELINED_MAX) connection.socket.destroy();
  }

  #begin(connection: Connection, turn: Turn): void {
    connection.current = turn;
    this.#serving += 1;
    turn.end = (response) => this.#end(connection, response, turn);
    turn.isLast = () => this.#closing || this.#options.isLeaving?.() === true;
    turn.response.once('close', () => this.#done(connection, turn));
    this.#options.serve(turn);
  }

  #done(connection: Connection, turn: Turn): void {
    if (connection.current !== turn) return;
    connection.current = null;
    this.#serving -= 1;
    // Node closes after such a response; requests sent behind it get none.
    if (!turn.response.shouldKeepAlive) connection.ending = true;
    const next = connection.ending ? undefined : connection.waiting.shift();
    if (next !== undefined && !connection.socket.destroyed) this.#begin(connection, next);
    else if (connection.broken !== null) this.#end(connection, { status: connection.broken }, null);
    if (this.#serving > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Sends the last response on this connection, past Node's own bookkeeping, which would close at once. */
  #end(connection: Connection, response: WholeResponse, turn: Turn | null): void {
    const { socket } = connection;
    if (connection.ending) return;
    connection.ending = true;
    if (turn !== null) turn.lastStatus = response.status;
    if (socket.writable) {
      socket.write(lastResponse(response, turn, this.#options.clock.now()));
      socket.end();
    }
    let discarded = 0;
    const request = turn?.request;
    request?.on('data', (chunk: Buffer) => {
      discarded += chunk.length;
      if (discarded > LINGER_BYTES) socket.destroy();
    });
    request?.resume();
    const cancel = this.#options.clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', cancel);
    if (turn !== null) this.#done(connection, turn);
  }

  #broke(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.broken !== null || connection.ending) return;
    // A connection on which nothing was sent was opened in advance: it may end without a response.
    const silent = connection.socket.bytesRead === 0;
    if (error.code === 'ECONNRESET' || silent || !socket.writable) return void socket.destroy();
    connection.broken = statusOf(error);
    const { current } = connection;
    if (current === null) this.#end(connection, { status: connection.broken }, null);
    else if (current.readingBody && !current.request.complete) this.#options.failBody(current);
  }

  // CONNECT takes the socket out of HTTP. Chroma responds to it as to any unknown path.
  #unroutable(socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.current !== null) return void socket.destroy();
    this.#end(connection, { status: 404 }, null);
  }

  // No byte has moved for the stall timeout. A handler may take that long; a client that reads no byte may not.
  #stalled(socket: Socket): void {
    const current = this.#connections.get(socket)?.current;
    if (current === undefined || current === null || current.response.headersSent) socket.destroy();
  }
}

/** One request and the response it is owed. */
export class Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Headers of the server's own for the response, flat. */
  headers: readonly string[] = [];
  /** The same for a response of status 400 and above. */
  errorHeaders: readonly string[] = [];
  readingBody = false;
  /** Refused because it is not well-formed HTTP. */
  isAbandoned = false;
  /** Status of the last response of the connection; null until it has been sent. */
  lastStatus: number | null = null;
  /** Sends the response as the last on the connection; set when the turn has come. */
  end: (response: WholeResponse) => void = () => undefined;
  isLast: () => boolean = () => true;
  #awaitsContinue: boolean;
  #abort: AbortController | null = null;

  constructor(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) {
    this.request = request;
    this.response = response;
    this.#awaitsContinue = awaitsContinue;
  }

  /** Aborts when the connection ends before the response has been sent. */
  get signal(): AbortSignal {
    if (this.#abort !== null) return this.#abort.signal;
    const abort = new AbortController();
    const { response } = this;
    const onClose = (): void => {
      if (!response.writableFinished) abort.abort();
    };
    if (response.destroyed) onClose();
    else response.once('close', onClose);
    this.#abort = abort;
    return abort.signal;
  }

  /** Lets the client send its body. */
  expectBody(): void {
    if (this.#awaitsContinue) this.response.writeContinue();
    this.#awaitsContinue = false;
  }

  /** Status of the response that has been sent; null when it was aborted, or the client is gone. */
  get sentStatus(): number | null {
    const { response, lastStatus } = this;
    if (lastStatus !== null) return lastStatus;
    return response.destroyed && !response.writableFinished ? null : response.statusCode;
  }

  respond(response: WholeResponse): void {
    if (this.lastStatus !== null) return;
    if (this.#leavesBody()) this.end(response);
    else sendWhole(this.response, response, this.beginResponse());
  }

  /** Refuses a request that is not well-formed HTTP: a status alone, then the end of the connection. */
  abandon(status: number): void {
    this.isAbandoned = true;
    this.end({ status });
  }

  /** The server's own headers, the one about the connection among them; to be called once, when the response begins. */
  beginResponse(): ServerHeaders {
    const { request, response } = this;
    if (this.isLast() || this.#leavesBody()) response.shouldKeepAlive = false;
    // Node says "keep-alive" always; Chroma's server only where it is not the default of the version.
    const isOld = request.httpVersion === '1.0';
    let connection: readonly string[] = [];
    if (response.shouldKeepAlive === isOld) connection = ['connection', isOld ? 'keep-alive' : 'close'];
    else response.removeHeader('connection');
    return (status) => [...(status >= 400 ? this.errorHeaders : []), ...this.headers, ...connection];
  }

  // A large unread body would have to be read before the next request.
  #leavesBody(): boolean {
    if (this.request.complete) return false;
    const length = declaredLength(this.request);
    return length === null || length > SMALL_BODY_BYTES || (this.#awaitsContinue && length > 0);
  }
}

function statusOf(error: NodeJS.ErrnoException): number {
  if (error.code === 'HPE_HEADER_OVERFLOW') return 431;
  return error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
}

function lastResponse(
  { status, headers, body: content = '' }: WholeResponse,
  turn: Turn | null,
  nowMs: number,
): Buffer {
  const body = Buffer.from(content);
  const list: string[] = [];
  // Chroma's router never sees malformed HTTP, so its refusal has no headers but those of HTTP.
  if (turn !== null && !turn.isAbandoned) {
    list.push(...headerList(headers, body.length > 0));
    if (status >= 400) list.push(...turn.errorHeaders);
    list.push(...turn.headers);
  }
  list.push('connection', 'close', 'content-length', String(body.length));
  list.push('date', new Date(nowMs).toUTCString());
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  for (let at = 0; at < list.length; at += 2) head += `${list[at]}: ${list[at + 1]}\r\n`;
  const hasBody = turn?.request.method !== 'HEAD';
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), hasBody ? body : Buffer.alloc(0)]);
}
