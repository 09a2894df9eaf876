// The canary: a write and two reads that prove that a node works. A server whose log reader has died keeps passing its
// health check and refuses every write and most reads.

import { z } from 'zod';
import type { Clock } from '../util/clock.ts';
import { RESERVED } from '../chroma/client/identity.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import { NodeError, type NodeErrorCode } from '../chroma/client/node-error.ts';
import {
  createCollectionRequest,
  createDatabaseRequest,
  createTenantRequest,
  getRecordsRequest,
  queryRecordsRequest,
  recordsRequest,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn } from '../chroma/protocol/response-effect.ts';

const CANARY_COLLECTION = 'canary';

/**
 * How a run ended.
 * - `unreachable`: no response, for the reason in `code`.
 * - `hanging`: the write had no response at the deadline; it is still in flight, and no other begins before it ends.
 * - `refused`: a response that is not a success (`status`).
 * - `not_found`, `not_queryable`: written and acknowledged, but not read back by id, or by its own vector.
 */
export type CanaryFailureKind = 'unreachable' | 'hanging' | 'refused' | 'not_found' | 'not_queryable';

export interface CanaryFailure {
  readonly failure: CanaryFailureKind;
  /** With `unreachable`. */
  readonly code: NodeErrorCode | null;
  /** With `refused`; null when the response could not be read. */
  readonly status: number | null;
  /** For operators; may contain the node's own message. */
  readonly message: string;
}

export type CanaryResult =
  { readonly ok: true; readonly ms: number } | ({ readonly ok: false; readonly ms: number } & CanaryFailure);

export interface CanaryOptions {
  /** The id of this gateway's record: gateways that shared one would read each other's values. */
  readonly recordId: string;
  /** Dimension of the vector; the same on every gateway of a cluster. */
  readonly dimension?: number;
  /** For the write, and again for each of the reads; ms. */
  readonly deadlineMs: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly clock: Clock;
}

export interface Canary {
  /** One run, shared by concurrent callers; `hanging` at once while an earlier write hangs. */
  run(): Promise<CanaryResult>;
}

class CanaryFailed extends Error {
  override readonly name = 'CanaryFailed';
  readonly details: CanaryFailure;

  constructor(failure: CanaryFailureKind, message: string, status: number | null = null) {
    super(message);
    this.details = { failure, code: null, status, message };
  }
}

const foundShape = z.object({ documents: z.array(z.unknown()) });
const queriedShape = z.object({ ids: z.array(z.array(z.unknown())) });

/** A canary for one node; keep it as long as the client. */
export function createCanary(client: NodeClient, options: CanaryOptions): Canary {
  return new NodeCanary(client, options);
}

class NodeCanary implements Canary {
  readonly #client: NodeClient;
  readonly #options: Required<CanaryOptions>;
  #physical: string | null = null;
  /** A write without a response is in flight; no second one is sent meanwhile. */
  #hanging = false;
  #running: Promise<CanaryResult> | null = null;

  constructor(client: NodeClient, options: CanaryOptions) {
    this.#client = client;
    this.#options = { dimension: 8, ...options };
  }

  run(): Promise<CanaryResult> {
    this.#running ??= this.#runOnce().finally(() => (this.#running = null));
    return this.#running;
  }

  async #runOnce(): Promise<CanaryResult> {
    const { clock } = this.#options;
    const startedMs = clock.monotonic();
    const ms = (): number => clock.monotonic() - startedMs;
    try {
      await this.#writeAndReadBack();
      return { ok: true, ms: ms() };
    } catch (error) {
      if (error instanceof CanaryFailed) return { ok: false, ms: ms(), ...error.details };
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof NodeError) {
        return { ok: false, ms: ms(), failure: 'unreachable', code: error.code, status: null, message };
      }
      // A response that is not Chroma's.
      return { ok: false, ms: ms(), failure: 'refused', code: null, status: null, message };
    }
  }

  async #writeAndReadBack(): Promise<void> {
    const { recordId, dimension, random } = this.#options;
    if (this.#hanging) throw hanging('an earlier write has no response yet');
    const vector = Array.from({ length: dimension }, () => Math.fround(random()));
    const value = vector.join(' ');
    const body = { ids: [recordId], embeddings: [vector], documents: [value] };

    const physical = await this.#untilDeadline(this.#write(Buffer.from(JSON.stringify(body))));
    await this.#expectById(physical, value);
    await this.#expectByVector(physical, vector);
  }

  /** Upserts the record, creating its collection if necessary; returns the collection's id. */
  async #write(body: Buffer): Promise<string> {
    const known = this.#physical;
    if (known !== null) {
      const response = await this.#client.mutate(
        recordsRequest({ ...RESERVED, physical: known }, 'upsert', body),
      );
      if (response.status !== 404) return successful(response, known);
      this.#physical = null; // the node was emptied, or the collection dropped
    }
    const physical = await this.#makeCollection();
    const response = await this.#client.mutate(recordsRequest({ ...RESERVED, physical }, 'upsert', body));
    this.#physical = physical;
    return successful(response, physical);
  }

  async #makeCollection(): Promise<string> {
    const tenant = await this.#client.mutate(createTenantRequest(RESERVED.tenant));
    if (tenant.status !== 409) successful(tenant, null);
    const database = await this.#client.mutate(createDatabaseRequest(RESERVED));
    if (database.status !== 409) successful(database, null);
    const body = Buffer.from(JSON.stringify({ name: CANARY_COLLECTION, get_or_create: true }));
    const collection = await this.#client.mutate(createCollectionRequest(RESERVED, body));
    const physical = collectionIdIn(collection);
    if (physical === null) throw refused(collection);
    return physical;
  }

  /** A mutation cannot be cancelled: at the deadline it stays in flight. */
  #untilDeadline<T>(write: Promise<T>): Promise<T> {
    const { clock, deadlineMs } = this.#options;
    this.#hanging = true;
    const ended = write.finally(() => (this.#hanging = false));
    return new Promise((resolve, reject) => {
      const late = (): void => reject(hanging(`a write had no response after ${deadlineMs} ms`));
      const cancel = clock.after(deadlineMs, late);
      ended.then(resolve, reject).finally(cancel);
    });
  }

  async #expectById(physical: string, value: string): Promise<void> {
    const selection = { ids: [this.#options.recordId], include: ['documents'] as const };
    const request = getRecordsRequest({ ...RESERVED, physical }, selection);
    const response = await this.#client.read({ ...request, deadlineMs: this.#options.deadlineMs });
    const { documents } = foundShape.parse(JSON.parse(successful(response, response.body.toString())));
    if (documents[0] === value) return;
    throw new CanaryFailed('not_found', 'an acknowledged write is not found by id');
  }

  async #expectByVector(physical: string, vector: readonly number[]): Promise<void> {
    const query = { query_embeddings: [vector], n_results: 1, include: [] };
    const request = queryRecordsRequest({ ...RESERVED, physical }, query);
    const response = await this.#client.read({ ...request, deadlineMs: this.#options.deadlineMs });
    const { ids } = queriedShape.parse(JSON.parse(successful(response, response.body.toString())));
    if (ids[0]?.[0] === this.#options.recordId) return;
    throw new CanaryFailed('not_queryable', 'a stored record is not found by its own vector');
  }
}

function successful<T>(response: Pick<NodeResponse, 'status' | 'body'>, value: T): T {
  if (response.status < 200 || response.status > 299) throw refused(response);
  return value;
}

function refused({ status, body }: Pick<NodeResponse, 'status' | 'body'>): CanaryFailed {
  return new CanaryFailed('refused', body.toString('utf8', 0, 300), status);
}

function hanging(message: string): CanaryFailed {
  return new CanaryFailed('hanging', message);
}
