// Reads from nodes: selects a node, sends the request with the node's own id of the shard, and returns the response.

import { bytesIn } from '../chroma/protocol/node-requests.ts';
import type { Collection } from '../catalog/catalog.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { recordsPath } from '../chroma/protocol/paths.ts';
import type { ClusterView } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { HttpResponse, ResponseHeaders, StreamedResponse, WholeResponse } from '../http/response.ts';
import type { ResponseBudget } from '../http/response-budget.ts';
import type { Metric } from '../observability/metrics-registry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { linkedAbort } from '../util/race.ts';
import type { NodeSelection, ReadRequirements, SelectedNode } from './node-selection.ts';
import type { ReadHealth } from './read-health.ts';
import { ResponseBuffer, SMALL_BYTES } from './response-buffer.ts';
import type { RetryBudget } from './retry-budget.ts';

/** A request to whichever node is selected. `path` is built from the id of the shard on that node. */
export interface RoutedRead {
  readonly method: 'GET' | 'POST';
  readonly path: (physicalId: string) => string;
  readonly body?: Buffer | readonly Buffer[];
  /** A get of records: its response may be compared with that of another node. */
  readonly isGet?: boolean;
}

/** A response of status 200 that a node gave to a get. */
export interface ServedGet {
  readonly node: string;
  readonly shard: string;
  readonly read: RoutedRead;
  readonly body: Buffer;
  /** LSN the node had applied before it was asked. */
  readonly lsn: number;
}

/** The response of a node. Its header names the LSN that it may reflect: a call may have been in flight on the node. */
export interface ReadResponse extends WholeResponse {
  /** LSN that it certainly reflects. */
  readonly applied: number;
}

/** The body of a buffered response of status 200. */
export interface BufferedBody {
  readonly body: Buffer;
  readonly headers: ResponseHeaders;
  /** LSN its node had certainly applied. */
  readonly applied: number;
}

/** The body of a buffered response of status 200; null for any other response. */
export function bufferedBody(response: HttpResponse): BufferedBody | null {
  if (typeof response === 'function' || response.status !== 200 || !Buffer.isBuffer(response.body))
    return null;
  const { body, headers = {}, applied = 0 } = response as WholeResponse & Partial<ReadResponse>;
  return { body: body as Buffer, headers, applied };
}

export interface BufferedReadOptions {
  readonly reader: Pick<Reader, 'read'>;
  readonly requirements: ReadRequirements;
  readonly read: RoutedRead;
  /** Aborts when the client disconnects; null when the read is not made for one client. */
  readonly client: AbortSignal | null;
}

/** Reads a response that is needed whole; null for one that is not 200, or too large, whose rest is not read. */
export async function readBuffered(options: BufferedReadOptions): Promise<BufferedBody | null> {
  const { reader, requirements, read, client } = options;
  const { controller, unlink } = linkedAbort(client ?? undefined);
  try {
    const response = await reader.read(requirements, read, controller.signal);
    if (typeof response === 'function') controller.abort();
    return bufferedBody(response);
  } finally {
    unlink();
  }
}

/** A get or a query of a collection's records. */
export function recordsRead(
  collection: Collection,
  action: 'get' | 'query',
  body: readonly Buffer[],
): RoutedRead {
  const path = (physicalId: string): string => recordsPath(collection, physicalId, action);
  return { method: 'POST', path, body, isGet: action === 'get' };
}

export interface ReaderOptions {
  readonly selection: Pick<NodeSelection, 'select' | 'selectNow' | 'isInUse'>;
  readonly view: Pick<ClusterView, 'applied' | 'mayHaveApplied'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'debug'>;
  readonly timeoutMs: number;
  readonly responseBudget: ResponseBudget;
  readonly health: Pick<ReadHealth, 'sent' | 'succeeded' | 'failed' | 'ended'>;
  readonly retryBudget: Pick<RetryBudget, 'readStarted' | 'take'>;
  /** Called with the responses to gets; must return at once. */
  readonly onGetServed: (get: ServedGet) => void;
}

/** A buffered response of one node. */
interface BufferedNodeResponse extends Omit<WholeResponse, 'headers'> {
  readonly body: Buffer;
  readonly contentType: string;
  /** LSN the node had applied before it was asked: what the response certainly reflects. */
  readonly lsn: number;
  /** LSN the node may have applied when it had responded: what the response reflects at most. */
  readonly lsnMax: number;
}

/** A read in progress. */
interface PendingRead {
  readonly requirements: ReadRequirements;
  readonly read: RoutedRead;
  readonly client: AbortSignal;
  /** Deadline, clock.monotonic() ms. */
  readonly until: number;
  /** Nodes that were asked, and are asked again only when no other node is eligible. */
  readonly asked: Set<string>;
  /** Attempts that reached a node and failed there, by its response or by the end of the connection. */
  failures: number;
  /** Attempts whose node stopped serving meanwhile, as one that hangs does. */
  aborts: number;
  /** Nodes whose failure is worth noting if another node serves the read. */
  readonly failedOn: string[];
  /** Responses saying that the collection's first write is in progress. */
  unwritten: number;
}

// A read that fails on two nodes in the same way is more likely the cause than the victim, so it is not retried on every
// node: some requests make a server drop the connection (docs/chroma-behaviour.md#requests-without-a-response). One node that
// ends and another that hangs have failed at the same moment for another reason.
const ATTEMPTS_MAX = 2;
// Until a probe has found out why a node cannot be reached, the node may be selected again.
const UNSENT_PAUSE_MS = 20;

// A server responds so while a collection's first write is in flight (observed on 1.0.5). With these pauses a read
// waits 8 s at most.
const UNWRITTEN_TEXT = 'Nothing found on disk';
const UNWRITTEN_PAUSE_MS = 25;
const UNWRITTEN_PAUSE_MAX_MS = 500;
const UNWRITTEN_ATTEMPTS_MAX = 20;

export class Reader {
  readonly #options: ReaderOptions;
  #retries = 0;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** The response of an eligible node; after a failure the read is retried, on another node if there is one. */
  async read(requirements: ReadRequirements, read: RoutedRead, client: AbortSignal): Promise<HttpResponse> {
    const { clock, selection, timeoutMs, retryBudget } = this.#options;
    retryBudget.readStarted();
    const until = clock.monotonic() + timeoutMs;
    const pending: PendingRead = {
      requirements,
      read,
      client,
      until,
      asked: new Set(),
      failures: 0,
      aborts: 0,
      failedOn: [],
      unwritten: 0,
    };
    for (;;) {
      const selected = selection.selectNow(requirements, pending.asked) ?? (await this.#waitForNode(pending));
      const response = await this.#attempt(selected, pending);
      if (response !== null) return response;
      this.#retries += 1;
    }
  }

  get metrics(): readonly Metric[] {
    const help = 'Reads that were sent to a node once more.';
    return [{ kind: 'counter', name: 'retries', help, unit: 'reads', read: () => this.#retries }];
  }

  /** The body of a response of status 200. Throws for any other, and for one too large to be buffered. */
  async readBody(requirements: ReadRequirements, read: RoutedRead, client: AbortSignal): Promise<Buffer> {
    const buffered = await readBuffered({ reader: this, requirements, read, client });
    if (buffered !== null) return buffered.body;
    throw new PolychromeError('internal', 'A node gave an unexpected response.');
  }

  /** Any eligible node, including one that was asked before. */
  async #waitForNode({ requirements, until, client }: PendingRead): Promise<SelectedNode> {
    const { selection, clock } = this.#options;
    const { controller, unlink } = linkedAbort(client);
    const cancel = clock.after(until - clock.monotonic(), () => controller.abort());
    try {
      return await selection.select(requirements, controller.signal);
    } finally {
      cancel();
      unlink();
    }
  }

  /** The response for the client; null when the read is to be retried. */
  async #attempt(selected: SelectedNode, pending: PendingRead): Promise<HttpResponse | null> {
    const { clock } = this.#options;
    const { asked, client } = pending;
    const { id } = selected.node.member;
    try {
      const response = await this.#measured(selected, pending);
      if (typeof response === 'function') return response;
      asked.add(id);
      if (response === null) return null;
      if (isUnwritten(response)) return await this.#waitForFirstWrite(pending);
      const isMissing = response.status === 404;
      if (response.status === 200) this.#reportServed(id, response, pending);
      if (response.status < 500 && !isMissing) return toHttp(response);
      if (!isMissing) pending.failedOn.push(id);
      return this.#mayRepeat(pending, isMissing) ? null : toHttp(response);
    } catch (error) {
      asked.add(id);
      const failure = this.#reportFailure(selected, error, pending);
      // A request that never left this process did no harm, and is not counted. A refused connection has made the node
      // ineligible; after any other failure it may be selected again at once.
      if (!failure.sent && failure.code !== 'refused') await sleep(clock, UNSENT_PAUSE_MS, client);
      if (!failure.sent) return null;
      // The state machine of the node knows of the others already.
      if (failure.code !== 'refused' && failure.code !== 'aborted') pending.failedOn.push(id);
      const alike = failure.code === 'aborted' ? ++pending.aborts : ++pending.failures;
      if (alike >= ATTEMPTS_MAX || !this.#options.retryBudget.take()) throw noResponse(asked, error);
      return null;
    }
  }

  #reportServed(
    node: string,
    { body, lsn }: BufferedNodeResponse,
    { requirements, read }: PendingRead,
  ): void {
    const { shard } = requirements;
    if (read.isGet === true && shard !== null) this.#options.onGetServed({ node, shard, read, body, lsn });
  }

  /** A node that lacks a copy costs nothing: its 404 does not count against the budget. */
  #mayRepeat(pending: PendingRead, isMissing: boolean): boolean {
    if (++pending.failures >= ATTEMPTS_MAX || !this.#hasOtherNode(pending)) return false;
    return isMissing || this.#options.retryBudget.take();
  }

  /** Sends the read and records how the node responded. A request that fails on every node says nothing about one. */
  async #measured(
    selected: SelectedNode,
    pending: PendingRead,
  ): Promise<BufferedNodeResponse | StreamedResponse | null> {
    const { health, clock } = this.#options;
    const { id } = selected.node.member;
    const sentAt = clock.monotonic();
    health.sent(id);
    try {
      const response = await this.#send(selected, pending);
      if (response === null || (typeof response !== 'function' && response.status >= 500)) return response;
      health.succeeded(id, clock.monotonic() - sentAt);
      for (const failed of pending.failedOn) health.failed(failed);
      return response;
    } catch (error) {
      if (error instanceof NodeError && error.code === 'timeout') health.failed(id);
      throw error;
    } finally {
      health.ended(id);
    }
  }

  #hasOtherNode({ requirements, asked }: PendingRead): boolean {
    return this.#options.selection.selectNow(requirements, asked) !== null;
  }

  /** Resolves with null when the read is to be retried: on another node at once, or on any after a pause. */
  async #waitForFirstWrite(pending: PendingRead): Promise<null> {
    const { clock } = this.#options;
    pending.unwritten += 1;
    if (pending.unwritten >= UNWRITTEN_ATTEMPTS_MAX) throw unwritten();
    if (this.#hasOtherNode(pending)) return null;
    const pauseMs = Math.min(UNWRITTEN_PAUSE_MAX_MS, UNWRITTEN_PAUSE_MS * 2 ** pending.unwritten);
    if (clock.monotonic() + pauseMs >= pending.until) throw unwritten();
    await sleep(clock, pauseMs, pending.client);
    if (pending.client.aborted) throw clientGone();
    pending.asked.clear();
    return null;
  }

  /** Reports a failure to the node's state machine. Throws when a retry would not help. */
  #reportFailure({ node }: SelectedNode, error: unknown, { client, until }: PendingRead): NodeError {
    if (!(error instanceof NodeError)) throw error;
    // The node stopped serving, not the client: another node can respond.
    if (error.code === 'aborted' && !client.aborted) return error;
    if (error.code === 'aborted') throw clientGone(error);
    if (error.code === 'busy') {
      throw new PolychromeError('overloaded', 'Too many reads are waiting for a node. Try again.');
    }
    node.member.callFailed(error, error.code === 'refused');
    this.#options.logger.debug({ node: node.member.id, error: error.message }, 'read failed on a node');
    // A connection that was not usable in time is no reason to wait no longer: another node can respond.
    if (error.code !== 'timeout' || (!error.sent && this.#options.clock.monotonic() < until)) return error;
    throw new PolychromeError('no_node', `${node.member.id} did not respond in time. Try again.`, {
      cause: error,
    });
  }

  /** Null when the copy became suspect, or was replaced, before it had responded. */
  async #send(
    selected: SelectedNode,
    { requirements: { shard }, read, client, until }: PendingRead,
  ): Promise<BufferedNodeResponse | StreamedResponse | null> {
    const { view, selection, clock, responseBudget } = this.#options;
    const { node, physicalId } = selected;
    const lsn = view.applied(node.member.id, shard ?? undefined);
    const buffer = new ResponseBuffer(responseBudget);
    const { controller, unlink } = linkedAbort(client);
    const end = node.readsInFlight.begin(controller, bytesIn(read.body));
    const request = {
      method: read.method,
      path: read.path(physicalId ?? ''),
      ...(read.body === undefined ? {} : { body: read.body }),
      deadlineMs: Math.max(1, until - clock.monotonic()),
      signal: controller.signal,
    };
    let hasResponded = false;
    const done = node.client
      .stream(request, buffer)
      .then(() => void (hasResponded = true))
      .finally(() => {
        buffer.release();
        end(hasResponded);
        unlink();
      });
    done.catch(() => undefined);
    await Promise.race([done, buffer.overflowed]);
    if (!buffer.isTooLarge) await done;
    if (!selection.isInUse(selected, shard)) {
      controller.abort();
      return null;
    }
    const reflectedMax = (): number =>
      shard === null ? lsn : Math.max(lsn, view.mayHaveApplied(node.member.id, shard));
    if (!buffer.isTooLarge) {
      const { status, contentType } = buffer;
      return { status, body: buffer.body(), contentType, lsn, lsnMax: reflectedMax() };
    }
    return (writer) => {
      writer.head(buffer.status, headersOf(buffer.contentType, reflectedMax()));
      const cancel = (): void => controller.abort();
      return Promise.race([done, buffer.forwardTo(writer, cancel)]).then(() => done);
    };
  }
}

const headersOf = (contentType: string, lsn: number): ResponseHeaders => ({
  'content-type': contentType,
  'x-polychrome-lsn': String(lsn),
});

function toHttp({ status, body, contentType, lsn, lsnMax }: BufferedNodeResponse): ReadResponse {
  // The node lacks what the catalog has: never passed on as if the collection did not exist.
  if (status === 404 && body.length > 0) {
    throw new PolychromeError(
      'no_node',
      'The nodes asked do not have this collection at the moment. Try again.',
    );
  }
  return { status, body, headers: headersOf(contentType, lsnMax), applied: lsn };
}

function isUnwritten({ status, body }: BufferedNodeResponse): boolean {
  return status === 500 && body.length < SMALL_BYTES && body.includes(UNWRITTEN_TEXT);
}

const unwritten = (): PolychromeError =>
  new PolychromeError(
    'no_node',
    'The nodes asked cannot read this collection yet: its first write is in progress. Try again.',
  );

const clientGone = (cause?: unknown): PolychromeError =>
  new PolychromeError('stopping', 'The client disconnected.', { cause });

function noResponse(asked: ReadonlySet<string>, cause: unknown): PolychromeError {
  const names = [...asked].join(', ');
  return new PolychromeError('no_node', `The nodes asked did not respond (${names}). Try again.`, { cause });
}
