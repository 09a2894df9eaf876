// Has a working node try an entry that another node fails, without changing content: records go to a scratch collection
// of the same configuration in the reserved tenant, selections are only read, collections get another name.

import { RESERVED } from '../chroma/client/identity.ts';
import { mergeRecordCalls } from '../chroma/batch/merge.ts';
import { type NodeClient } from '../chroma/client/node-client.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { DatabaseName } from '../chroma/protocol/paths.ts';
import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import { readTopLevel, withCollectionIdentity, withGetOrCreate } from '../chroma/parse/rewrite.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import { splitCall, workOf } from '../chroma/batch/split.ts';
import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { nextTurn } from '../util/next-turn.ts';
import type { Case, Opinion } from './arbiter.ts';
import { PAGE_IDS, selectionBody } from './conditional-delete.ts';
import { orOver } from '../coordination/term.ts';
import {
  collectionRequest,
  createCollectionRequest,
  deleteCollectionRequest,
  getRecordsRequest,
  listCollectionsRequest,
  recordsRequest,
  type NodeMutation,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Workload } from './workload.ts';

/** A shard on a node, with the name by which the node knows it. */
export interface NamedShard extends ShardLocation {
  readonly name: string;
}

/** A node that can be asked. */
export interface Consultant {
  readonly client: NodeClient;
  readonly workload: Workload;
  /** This node's healthy copy of the shard; null when it has none. */
  readonly assigned: (shard: string) => NamedShard | null;
}

export interface SecondOpinionOptions {
  readonly node: (id: string) => Consultant;
  /** The collection of a shard. */
  readonly collectionOf: (shard: string) => DatabaseName | null;
  readonly clock: Clock;
}

const DEADLINE_MS = 30_000;
const PREFIX = 'scratch-';

export class SecondOpinion {
  readonly #options: SecondOpinionOptions;

  constructor(options: SecondOpinionOptions) {
    this.#options = options;
  }

  /** Whether the node can apply the entry. Throws TermOver. */
  async ask(node: string, trial: Case, term: Term): Promise<Opinion> {
    const consultant = this.#options.node(node);
    const { operation, entry } = trial;
    try {
      if (operation.type === 'records' && operation.call.conditional)
        return await this.#select(consultant, operation.shard, operation.call, term);
      if (operation.type === 'records') return await this.#write(consultant, trial, term);
      if (operation.type === 'create_collection')
        return await this.#create(consultant, operation.body, entry.lsn, term);
      // Any other operation changes names: there is no way to try it without effect.
      return 'untried';
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      if (!error.sent) return 'untried';
      const kind = error.code === 'timeout' ? 'hung' : 'dropped';
      return { kind, status: 0, body: Buffer.from(error.message) };
    }
  }

  async #select(
    { client, assigned }: Consultant,
    shard: string,
    call: RecordCall,
    term: Term,
  ): Promise<Opinion> {
    const target = assigned(shard);
    if (target === null) return 'untried';
    const request = getRecordsRequest(target, selectionBody(call, 0, PAGE_IDS));
    return opinionOf(await client.read({ ...request, deadlineMs: DEADLINE_MS, signal: term.signal }));
  }

  async #create(consultant: Consultant, body: Buffer, lsn: number, term: Term): Promise<Opinion> {
    const name = await this.#newName(consultant, lsn, term);
    const scratch = withCollectionIdentity(withGetOrCreate(body, false), { name });
    const request = createCollectionRequest(RESERVED, scratch);
    const created = await this.#mutate(consultant, { request, work: 0.01 }, term);
    await this.#remove(consultant, name);
    return opinionOf(created);
  }

  /** Writes the part that failed, or all of the entry. */
  async #write(consultant: Consultant, { operation, entry, applied }: Case, term: Term): Promise<Opinion> {
    if (operation.type !== 'records') return 'untried';
    const { shard, call } = operation;
    const name = await this.#newName(consultant, entry.lsn, term);
    const configuration = await this.#configuration(consultant, shard, term);
    const body = Buffer.from(JSON.stringify({ name, configuration }));
    const creation = createCollectionRequest(RESERVED, body);
    const created = await this.#mutate(consultant, { request: creation, work: 0.01 }, term);
    const physical = collectionIdIn(created);
    if (physical === null) return 'untried';
    try {
      // Only the part that failed: later parts have not been tried anywhere.
      const part = await partWith(call, applied);
      if (part === null) return 'untried';
      const request = recordsRequest({ ...RESERVED, physical }, kindOf(call), mergeRecordCalls([part]));
      return opinionOf(await this.#mutate(consultant, { request, work: workOf(part) }, term));
    } finally {
      await this.#remove(consultant, name);
    }
  }

  /** The index configuration of the shard's collection, as the node shows it. */
  async #configuration({ client, assigned }: Consultant, shard: string, term: Term): Promise<object | null> {
    const at = this.#options.collectionOf(shard);
    const target = assigned(shard);
    if (at === null || target === null) return null;
    const request = collectionRequest(at, target.name);
    const found = await client.read({ ...request, deadlineMs: DEADLINE_MS, signal: term.signal });
    if (!isSuccess(found)) return null;
    const fields = readTopLevel(found.body, ['configuration_json']);
    const slice = isRefusal(fields) ? undefined : fields.get('configuration_json')?.slice;
    if (slice === undefined) return null;
    const text = found.body.subarray(slice.start, slice.end).toString();
    const { hnsw } = JSON.parse(text) as { hnsw?: object | null };
    return hnsw === undefined || hnsw === null ? null : { hnsw };
  }

  /** A new name, after removing what an interrupted trial left behind. */
  async #newName(consultant: Consultant, lsn: number, term: Term): Promise<string> {
    const request = { ...listCollectionsRequest(RESERVED), deadlineMs: DEADLINE_MS, signal: term.signal };
    const list = await consultant.client.read(request);
    const names = isSuccess(list) ? (JSON.parse(list.body.toString()) as { name: string }[]) : [];
    for (const { name } of names) if (name.startsWith(PREFIX)) await this.#remove(consultant, name);
    return `${PREFIX}${lsn}`;
  }

  /** Removes a collection; if that fails or takes too long, the next trial removes it. */
  async #remove({ client }: Consultant, name: string): Promise<void> {
    const over = new AbortController();
    const removed = client
      .mutate(deleteCollectionRequest(RESERVED, name))
      .catch(() => undefined)
      .finally(() => over.abort());
    await Promise.race([removed, sleep(this.#options.clock, DEADLINE_MS, over.signal)]);
  }

  /** A mutating call, awaited for its bound; a node that takes longer hangs. */
  async #mutate(
    { client, workload }: Consultant,
    call: { readonly request: NodeMutation; readonly work: number },
    term: Term,
  ): Promise<NodeResponse> {
    const { request, work } = call;
    const end = workload.begin({ lsns: [], work });
    const sent = client.mutate(request);
    sent.then(
      () => end(true),
      () => end(false),
    );
    const over = new AbortController();
    const late = sleep(this.#options.clock, DEADLINE_MS + workload.boundMs(work), over.signal).then(() => {
      throw new NodeError('timeout', 'no response within the bound of the call', { sent: true });
    });
    late.catch(() => undefined);
    try {
      return await orOver(Promise.race([sent, late]), term);
    } finally {
      over.abort();
    }
  }
}

/** The part that begins with, or contains, the record with this index. */
async function partWith(call: RecordCall, index: number): Promise<RecordCall | null> {
  for (const part of splitCall(call, { work: 1, maxIds: Infinity, maxBytes: Infinity })) {
    if ((part.part?.to ?? call.ids.length) > index) return part;
    await nextTurn();
  }
  return null;
}

/** An update of missing records would prove nothing, so it is tried as an upsert. */
function kindOf({ kind, columns }: RecordCall): RecordKind {
  return kind === 'update' && columns.embeddings !== undefined ? 'upsert' : kind;
}

function opinionOf({ status, body }: NodeResponse): Opinion {
  return status >= 200 && status < 300 ? 'applies' : { kind: 'response', status, body };
}
