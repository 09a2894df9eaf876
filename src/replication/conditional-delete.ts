// Deletes whose ids depend on a node's state: the primary selects the ids in pages and records them; then every node
// deletes exactly these.

import { deleteByIdsBodies, type MergeLimits } from '../chroma/batch/merge.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { readTopLevel } from '../chroma/parse/rewrite.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { AssignedShard } from './checkpoints.ts';
import type { DecisionWait } from './decision-wait.ts';
import type { Decider, Decision, Decisions, Ruling } from './decisions.ts';
import { type Delivery } from './delivery.ts';
import { TermOver } from '../coordination/term.ts';
import { LacksShard } from './node-faults.ts';
import type { NodeReads } from './node-reads.ts';
import type { Positions } from './positions.ts';
import type { StoredDocuments } from './stored-documents.ts';
import type { RecordOperation } from '../chroma/protocol/operation.ts';
import { getRecordsRequest, recordsRequest } from '../chroma/protocol/node-requests.ts';
import { isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';

export interface ConditionalDeleteOptions {
  readonly node: string;
  readonly positions: Pick<Positions, 'sending'>;
  readonly delivery: Delivery;
  readonly reads: NodeReads;
  readonly waits: DecisionWait;
  readonly decisions: Pick<Decisions, 'addPage' | 'idPages'>;
  readonly stored: Pick<StoredDocuments, 'removalWork'>;
  /** Whether this gateway knows that the copy is suspect, also before that is durable. */
  readonly isKnownSuspect: (shard: string, physical: string) => boolean;
  readonly limits: () => MergeLimits;
  readonly clock: Clock;
  readonly onTrouble: (error: Error) => void;
}

// Ids of usual length make a page of some 20 kB; pages of short ids grow, for each makes the server evaluate the filter
// again.
export const PAGE_IDS = 512;
const PAGE_IDS_MAX = 16_384;
// Every node holds a page while it deletes what it names, and PostgreSQL sends it as hexadecimal text.
const PAGE_BYTES = 2 * 1024 * 1024;
// A page of 512 ids of 50,000 characters, 25 MB, would hold the event loop for a second and more on a busy machine.
const RESPONSE_BYTES_MAX = 2 * PAGE_BYTES;
// A decision larger than this is stored in pages beside it.
const INLINE_BYTES_MAX = 64 * 1024;
// Over some seconds.
const PAGE_ATTEMPTS_MAX = 5;
const PAUSE_MS = 500;
// A stock server deletes about so many records in a second.
const DELETED_PER_UNIT = 1_024;

export class ConditionalDelete {
  readonly #options: ConditionalDeleteOptions;

  constructor(options: ConditionalDeleteOptions) {
    this.#options = options;
  }

  /** Applies the decision on this node, and returns it. Throws LacksShard, CallFailed, TermOver. */
  async apply(
    lsn: number,
    { shard, call }: RecordOperation,
    target: AssignedShard,
    term: Term,
  ): Promise<Decision> {
    const { waits, stored, isKnownSuspect, limits } = this.#options;
    const checkCopy = (): void => {
      const isSuspect = target.suspect !== null || isKnownSuspect(shard, target.physical);
      if (isSuspect) throw new LacksShard([shard], `its copy is suspect, at LSN ${lsn}`);
    };
    const decision = await waits.decided(lsn, term, async (by) => {
      checkCopy();
      const ruling = await this.#select({ lsn, shard, call, target, by, term });
      checkCopy();
      return ruling;
    });
    if (decision.outcome !== 'accepted' || target.suspect !== null) return decision;
    crashPoint('decision_recorded');
    const removal = await stored.removalWork(shard, target, 1);
    const maxIds = Math.min(limits().maxIds, Math.max(1, Math.floor(1 / removal)));
    let isFirst = true;
    for await (const ids of this.#pages(decision, term)) {
      const chunk = Math.min(ids.length, maxIds);
      for (const body of deleteByIdsBodies(ids, maxIds)) {
        if (!isFirst) crashPoint('delete_halfway');
        isFirst = false;
        await this.#delete(
          { lsn, shard, target, body, work: chunk * (1 / DELETED_PER_UNIT + removal) },
          term,
        );
      }
    }
    return decision;
  }

  /** A page that PostgreSQL does not return is read again: an error would repeat the deletions of all pages before. */
  async *#pages(decision: Decision, term: Term): AsyncGenerator<readonly string[]> {
    const { decisions, clock, onTrouble } = this.#options;
    let page = 0;
    for (let failures = 0; ;) {
      try {
        for await (const ids of decisions.idPages(decision, page)) {
          yield ids;
          page += 1;
          failures = 0;
        }
        return;
      } catch (error) {
        if (!term.held()) throw new TermOver();
        if (++failures === PAGE_ATTEMPTS_MAX) throw error;
        onTrouble(error as Error);
        await sleep(clock, PAUSE_MS * failures, term.signal);
      }
    }
  }

  async #delete(
    chunk: { lsn: number; shard: string; target: AssignedShard; body: Buffer; work: number },
    term: Term,
  ): Promise<void> {
    const { lsn, shard, target, body, work } = chunk;
    const { positions, node, delivery } = this.#options;
    const request = recordsRequest(target, 'delete', [body]);
    positions.sending(node, shard, lsn);
    const response = await delivery.call({ request, lsns: [lsn], work, isFinal: isMissing }, term);
    if (isMissing(response)) throw lacking(shard, lsn);
  }

  /** Selects the ids on this node, the primary; nothing else is applied to it meanwhile. */
  async #select(selection: Selection): Promise<Ruling> {
    const { lsn, call, by } = selection;
    const { decisions } = this.#options;
    const wanted = limitOf(call) ?? Infinity;
    let assigned: string[] = [];
    let bytes = 0;
    let pages = 0;
    let selected = 0;
    let size = PAGE_IDS;
    // At least once: with a limit of 0, which deletes nothing, a server still refuses an invalid filter.
    do {
      const page = await this.#page(selection, selected, Math.min(size, wanted - selected));
      if (!('ids' in page)) return page;
      size = page.size;
      selected += page.ids.length;
      assigned.push(...page.ids);
      bytes += page.bytes;
      if (bytes > INLINE_BYTES_MAX) {
        const stored = await decisions.addPage(by, lsn, pages, Buffer.from(JSON.stringify(assigned)));
        if (!stored) throw new Error('another primary decides');
        pages += 1;
        assigned = [];
        bytes = 0;
      }
      if (page.isLast) break;
    } while (selected < wanted);
    if (pages === 0) return { outcome: 'accepted', status: 200, body: Buffer.from(JSON.stringify(assigned)) };
    if (assigned.length > 0) await decisions.addPage(by, lsn, pages++, Buffer.from(JSON.stringify(assigned)));
    // The pages count only once this row exists: no node deletes before.
    const body = Buffer.from(JSON.stringify({ deleted: selected }));
    return { outcome: 'accepted', status: 200, body, pages };
  }

  /** Ids from `offset` on, at most `size`; fewer where they are long. A refusal of the server is the decision. */
  async #page(selection: Selection, offset: number, size: number): Promise<Page | Ruling> {
    const { lsn, shard, call, target, term } = selection;
    for (let limit = size; ; limit = Math.ceil(limit / 2)) {
      const request = getRecordsRequest(target, selectionBody(call, offset, limit));
      try {
        const responseBytesMax = limit > 1 ? { responseBytesMax: RESPONSE_BYTES_MAX } : {};
        const found = await this.#options.reads.read({ ...request, ...responseBytesMax }, lsn, term);
        if (isMissing(found)) throw lacking(shard, lsn);
        if (!isSuccess(found)) return { outcome: 'refused', status: found.status, body: found.body };
        const { ids } = JSON.parse(found.body.toString()) as { ids: string[] };
        const bytes = found.body.length;
        return { ids, bytes, isLast: ids.length < limit, size: nextPageSize(limit, bytes) };
      } catch (error) {
        if (!(error instanceof NodeError) || error.code !== 'too_large' || limit === 1) throw error;
        if (!term.held()) throw new TermOver();
      }
    }
  }
}

interface Selection {
  readonly lsn: number;
  readonly shard: string;
  readonly call: RecordCall;
  readonly target: AssignedShard;
  readonly by: Decider;
  readonly term: Term;
}

interface Page {
  readonly ids: readonly string[];
  readonly bytes: number;
  readonly isLast: boolean;
  /** Of the next page. */
  readonly size: number;
}

const lacking = (shard: string, lsn: number): LacksShard =>
  new LacksShard([shard], `the node has no such collection, at LSN ${lsn}`);

/** How many ids the next page has, when one of `limit` took so many bytes. */
function nextPageSize(limit: number, bytes: number): number {
  if (bytes > PAGE_BYTES) return Math.max(1, Math.floor((limit * PAGE_BYTES) / bytes));
  return bytes < PAGE_BYTES / 2 ? Math.min(limit * 2, PAGE_IDS_MAX) : limit;
}

/** The body of the get that selects what a conditional delete means: the same filters, no columns. */
export function selectionBody(call: RecordCall, offset: number, limit: number): Buffer {
  const parts: string[] = ['"include":[]', `"offset":${offset}`, `"limit":${limit}`];
  const fields = readTopLevel(call.body, ['ids', 'where', 'where_document']);
  if (isRefusal(fields)) throw new Error(`A delete that was checked cannot be read: ${fields.message}`);
  for (const [name, { type, slice }] of fields) {
    if (type !== 'null') parts.push(`"${name}":${call.body.subarray(slice.start, slice.end).toString()}`);
  }
  return Buffer.from(`{${parts.join(',')}}`);
}

/** How many records the delete takes at most; null: all. */
function limitOf(call: RecordCall): number | null {
  const fields = readTopLevel(call.body, ['limit']);
  // Servers without `limit` accept it twice, as null; then there is none.
  const limit = isRefusal(fields) ? undefined : fields.get('limit');
  if (limit?.type !== 'number') return null;
  return Number(call.body.subarray(limit.slice.start, limit.slice.end).toString());
}
