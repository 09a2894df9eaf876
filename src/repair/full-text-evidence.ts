// Has a server whose canary fails write records with and without a document: damage to its full-text tables shows in no read,
// and fails writes of documents, or only changes of them, with the words of a full disk (docs/chroma-behaviour.md#damaged-files).

import { RESERVED } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import type { RecordKind } from '../chroma/parse/record-call.ts';
import {
  createCollectionRequest,
  deleteCollectionRequest,
  getRecordsRequest,
  listCollectionsRequest,
  recordsRequest,
  type NodeMutation,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn, isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import { TermOver } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';

export interface FullTextEvidenceOptions {
  /** Its connections prove which node responds. */
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  /** I7: whether this gateway leads. */
  readonly held: () => boolean;
  readonly newId: () => string;
  readonly clock: Clock;
}

const METADATA_FAILED = /Failed to apply logs to the metadata segment/;
// Second opinions remove what begins with "scratch-".
const PREFIX = 'scratch-full-text-';
// A disk that was full for a moment does not fail each document and take each larger record in between.
const ROUNDS = 3;
// More room than a short document needs in any table.
const TEXT = 'x'.repeat(256 * 1024);
const DEADLINE_MS = 10_000;

/** Whether a canary may have failed for this reason. */
export function mayBeFullText(reason: string): boolean {
  return METADATA_FAILED.test(reason);
}

/** What the server says of its full-text tables, if they are damaged; null when that is not certain. Throws NodeError, TermOver. */
export async function fullTextEvidence(options: FullTextEvidenceOptions): Promise<string | null> {
  const node = new Scratch(options);
  if (!(await node.isEmptied())) return null;
  try {
    let said: string | null = null;
    for (let round = 0; round < ROUNDS; round++) {
      if (!(await node.takes({ metadatas: [{ text: TEXT }] }))) return null;
      said = await node.refusalOf();
      if (said === null || !METADATA_FAILED.test(said)) return null;
    }
    if (!(await node.takes({ metadatas: [{ text: TEXT }] }))) return null;
    return `records without a document are written, those with one are not: ${said}`;
  } finally {
    await node.isEmptied().catch(() => false);
  }
}

/** Collections in the reserved tenant of one node, each for one record. */
class Scratch {
  readonly #options: FullTextEvidenceOptions;

  constructor(options: FullTextEvidenceOptions) {
    this.#options = options;
  }

  /** Removes all; false when one stays. */
  async isEmptied(): Promise<boolean> {
    const list = await this.#options.client.read({
      ...listCollectionsRequest(RESERVED),
      deadlineMs: DEADLINE_MS,
    });
    if (!isSuccess(list)) return false;
    const names = (JSON.parse(list.body.toString()) as { name: string }[]).map(({ name }) => name);
    for (const name of names.filter((each) => each.startsWith(PREFIX))) {
      const removed = await this.#mutate(deleteCollectionRequest(RESERVED, name));
      if (!isSuccess(removed) && !isMissing(removed)) return false;
    }
    return true;
  }

  /** Whether a record with these columns is written to a new collection, and is there. */
  async takes(columns: object): Promise<boolean> {
    const at = await this.#create();
    if (at === null || !isSuccess(await this.#add(at, columns))) return false;
    const request = getRecordsRequest(at, { include: [] });
    const { status, body } = await this.#options.client.read({ ...request, deadlineMs: DEADLINE_MS });
    return status === 200 && (JSON.parse(body.toString()) as { ids: string[] }).ids.length === 1;
  }

  /** What the server responds to a document that it fails to add, to replace or to delete; null when it does all of it. */
  async refusalOf(): Promise<string | null> {
    const at = await this.#create();
    if (at === null) return null;
    const steps = [
      () => this.#add(at, { documents: ['document'] }),
      () => this.#send(at, 'upsert', { ids: ['record'], embeddings: [[1]], documents: ['another'] }),
      () => this.#send(at, 'delete', { ids: ['record'] }),
    ];
    for (const step of steps) {
      const { status, body } = await step();
      if (status >= 500) return body.toString('utf8', 0, 300);
    }
    return null;
  }

  async #create(): Promise<ShardLocation | null> {
    const body = Buffer.from(JSON.stringify({ name: `${PREFIX}${this.#options.newId()}` }));
    const physical = collectionIdIn(await this.#mutate(createCollectionRequest(RESERVED, body)));
    return physical === null ? null : { ...RESERVED, physical };
  }

  #add(at: ShardLocation, columns: object): Promise<NodeResponse> {
    return this.#send(at, 'add', { ids: ['record'], embeddings: [[1]], ...columns });
  }

  #send(at: ShardLocation, kind: RecordKind, body: object): Promise<NodeResponse> {
    return this.#mutate(recordsRequest(at, kind, Buffer.from(JSON.stringify(body))));
  }

  async #mutate(request: NodeMutation): Promise<NodeResponse> {
    const { client, held, clock } = this.#options;
    const over = new AbortController();
    const beforeLast = (): void => {
      if (!held()) throw new TermOver();
    };
    const late = sleep(clock, DEADLINE_MS, over.signal).then((): never => {
      throw new NodeError('timeout', 'a scratch collection was not written in time', { sent: true });
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([client.mutate({ ...request, beforeLast }), late]);
    } finally {
      over.abort();
    }
  }
}
