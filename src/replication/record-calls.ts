// Sends the record calls of a round to one node: in parts of about a second, staggered with other nodes when they are
// long, and in smaller calls when they fail, until each entry is applied or ended.

import { mergeRecordCalls, type MergeLimits } from '../chroma/batch/merge.ts';
import type { NodeResponse } from '../chroma/client/node-request.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { splitCall, workOf } from '../chroma/batch/split.ts';
import type { Term } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { nextTurn } from '../util/next-turn.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Arbiter } from './arbiter.ts';
import type { AssignedShard } from './checkpoints.ts';
import { appliedRecords, type Decision, type Decisions } from './decisions.ts';
import { CallFailed, type Call, type Delivery } from './delivery.ts';
import type { Endings } from './endings.ts';
import type { NodeReads } from './node-reads.ts';
import type { Positions } from './positions.ts';
import { halves, type ShardCall } from './round.ts';
import { countRecordsRequest, recordsRequest } from '../chroma/protocol/node-requests.ts';
import { hasNoEffect, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Stagger } from './stagger.ts';
import { replacesDocuments, type StoredDocuments } from './stored-documents.ts';
import type { Trials } from './trials.ts';
import type { Workload } from './workload.ts';

export interface RecordCallsOptions {
  readonly node: string;
  readonly clock: Clock;
  readonly delivery: Delivery;
  readonly reads: Pick<NodeReads, 'touch'>;
  /** Whether no other node has a healthy copy of the shard. */
  readonly isLastCopy: (shard: string) => boolean;
  readonly workload: Workload;
  readonly stagger: Pick<Stagger, 'turn'>;
  readonly arbiter: Pick<Arbiter, 'resolve'>;
  readonly trials: Pick<Trials, 'isOpen' | 'of' | 'applied' | 'failed' | 'progressed'>;
  /** Failed attempts of one entry after which the node has failed it. */
  readonly attemptsMax: number;
  readonly positions: Positions;
  readonly decisions: Pick<Decisions, 'isQuarantined' | 'exception'>;
  readonly endings: Pick<Endings, 'known' | 'onKnown'>;
  readonly stored: StoredDocuments;
  readonly limits: () => MergeLimits;
  /** Why the node's canary fails; null when it succeeds. */
  readonly canary: () => Promise<string | null>;
  /** Makes this node's copy of a shard suspect, durably, before anything is served from it (I8). */
  readonly suspect: (shard: string, reason: string, term: Term) => Promise<void>;
  /**
   * A long call is about to be sent that keeps the node busy until about `untilMs` from now; durable before it goes.
   */
  readonly announce: (lsn: number, untilMs: number, term: Term) => Promise<void>;
  /** The node begins a long call, or has ended it: reads are sent to other nodes meanwhile. */
  readonly onLong: (isLong: boolean) => void;
  /** Resolves soon: when the reads that the node has been sent have ended, if others can take the next ones. */
  readonly readsEnded: () => Promise<void>;
}

const RETRY_MS = 200;
// The first vector of a collection makes the server allocate its index: measured 0.08 ms a dimension
// (docs/chroma-behaviour.md#the-first-write-of-a-collection).
const SETUP_MS_A_DIMENSION = 0.1;

export class RecordCalls {
  readonly #options: RecordCallsOptions;
  /** LSN of the last entry that was sent. */
  sentTo = 0;

  constructor(options: RecordCallsOptions) {
    this.#options = options;
  }

  /** Applies one call of a round. Throws TermOver. */
  async apply(call: ShardCall, assigned: ReadonlyMap<string, AssignedShard>, term: Term): Promise<void> {
    const target = assigned.get(call.shard);
    // The log has validated the entry, so its shard was created earlier: a node without it has lost it.
    if (target === undefined) return this.#options.suspect(call.shard, 'the node has no such shard', term);
    if (target.suspect !== null) return;
    const lsns = call.members.map(({ entry }) => entry.lsn);
    const [only] = call.members;
    if (call.members.length === 1 && only !== undefined) return this.#alone(call, only, target, term);
    const merged = mergeRecordCalls(call.members.map(({ operation }) => operation.call));
    const work = call.members.reduce((sum, { operation }) => sum + workOf(operation.call), 0);
    const records = call.members.reduce((sum, { operation }) => sum + operation.call.ids.length, 0);
    const response = await this.#send({ call, target, body: merged, records, work, term });
    if (response !== null && isSuccess(response)) return this.#taken(call.shard, lsns, term);
    // Repeating a part that was applied is harmless, so the halves can be sent separately.
    for (const half of halves(call, this.#options.limits())) {
      if (this.#isSuspect(assigned, call.shard)) return;
      await this.apply(half, assigned, term);
    }
  }

  /** One entry by itself, in parts. */
  async #alone(
    call: ShardCall,
    { entry, operation }: ShardCall['members'][number],
    target: AssignedShard,
    term: Term,
  ): Promise<void> {
    const { arbiter, node, trials, workload, limits, decisions } = this.#options;
    let from = 0;
    for (;;) {
      if (trials.isOpen(entry.lsn)) {
        const resolution = await arbiter.resolve({ node, entry, operation, applied: from }, term);
        if (resolution === 'suspect') {
          const reason = `fails LSN ${entry.lsn}, which another node can apply, or may have applied`;
          return this.#options.suspect(call.shard, reason, term);
        }
        if (resolution === 'taken') return this.#taken(call.shard, [entry.lsn], term);
        const exception = decisions.exception(entry.lsn);
        if (resolution === 'ended' && exception?.outcome !== 'partly_applied') return;
      }
      const exception = decisions.exception(entry.lsn);
      const records = exception?.outcome === 'partly_applied' ? appliedRecords(exception) : Infinity;
      const removal = await this.#removalWork(call, target, 1);
      const maxIds = Math.min(limits().maxIds, Math.max(1, Math.floor(workload.partWork / removal.certain)));
      const parts = splitCall(operation.call, { ...limits(), maxIds, work: workload.partWork });
      const failed = await this.#parts({ call, target, parts, from, to: records, term });
      if (failed === null) return this.#taken(call.shard, [entry.lsn], term, records);
      from = failed.from;
      if (failed.response !== null) await this.#refused(entry.lsn, failed.response, term);
      const attempts = trials.of(entry.lsn).get(node)?.alone ?? 0;
      // What the decision leaves of the entry has been applied elsewhere.
      if (exception !== null && attempts >= this.#options.attemptsMax) {
        const reason = `fails records of LSN ${entry.lsn} that another node has applied`;
        return this.#options.suspect(call.shard, reason, term);
      }
    }
  }

  /** A refusal of a validated call: counted when the node's canary succeeds. */
  async #refused(lsn: number, { status, body }: NodeResponse, term: Term): Promise<void> {
    const { canary, trials, node, clock } = this.#options;
    if ((await canary()) === null) trials.failed(node, [lsn], { kind: 'response', status, body });
    await sleep(clock, RETRY_MS, term.signal);
  }

  /** Sends the parts with records `from` to `to`, in order; the first that failed, or null. */
  async #parts({ call, target, parts, from, to, term }: PartsToSend): Promise<FailedPart | null> {
    let isFirst = true;
    for (const part of parts) {
      const range = part.part ?? { from: 0, to: part.ids.length };
      if (range.to <= from || range.from >= to) {
        // Finding a part takes some ms, and there may be a thousand.
        await nextTurn();
        continue;
      }
      // Parts may be cut differently than before; repeating applied records is harmless.
      const cut = range.to > to ? firstRecords(part, to - range.from) : part;
      if (!isFirst) crashPoint('part_halfway');
      isFirst = false;
      const body = mergeRecordCalls([cut]);
      const records = cut.ids.length;
      const response = await this.#send({ call, target, body, records, work: workOf(cut), term });
      if (response === null || !isSuccess(response)) return { from: range.from, response };
      const { lsn } = call.members[0]!.entry;
      this.#options.trials.progressed(this.#options.node, lsn, range.from + cut.ids.length);
    }
    return null;
  }

  /** The node's final response; null when the attempts are used up. */
  async #send(sending: Sending): Promise<NodeResponse | null> {
    const { call, target, body, term } = sending;
    const { delivery, workload, stored, positions, node } = this.#options;
    const { kind } = call.members[0]!.operation.call;
    const lsns = call.members.map(({ entry }) => entry.lsn);
    const last = lsns.at(-1) ?? 0;
    this.sentTo = Math.max(this.sentTo, last);
    const isFinal = (response: NodeResponse): boolean => hasNoEffect(kind, response);
    // The call covers whole entries: they are applied, and a late response counts for acknowledgement.
    const isWhole = call.members.length > 1 || sending.work === workOf(call.members[0]!.operation.call);
    const onLate = (response: NodeResponse): void => {
      if (isWhole && isSuccess(response)) this.#late(lsns);
    };
    const request = recordsRequest(target, kind, body);
    const removal = await this.#removalWork(call, target, sending.records);
    const work = sending.work + removal.certain;
    const setupMs = setupMsOf(call) + workload.expectedMs(removal.possible);
    for (const { operation } of call.members) stored.written(call.shard, operation.call);
    const isLong = workload.isLongCall(work, setupMs);
    // The announced bound begins with the announcement: nothing may delay the call after it.
    if (isLong) await delivery.settled(term, lsns);
    const end = isLong ? await this.#longTurn(lsns, workload.boundMs(work, setupMs), term) : () => undefined;
    positions.sending(node, call.shard, last);
    try {
      const response = await delivery.call(
        { request, lsns, work, setupMs, isFinal, onLate } satisfies Call,
        term,
      );
      if (isSuccess(response) && updatesEmbeddings(call)) await this.#settleUpdate(call.shard, target, term);
      return response;
    } catch (error) {
      if (error instanceof CallFailed) return null;
      throw error;
    } finally {
      end();
    }
  }

  /** Without a read the embedding of a missing record may come back (docs/chroma-behaviour.md#an-update-before-its-record). */
  async #settleUpdate(shard: string, target: AssignedShard, term: Term): Promise<void> {
    const { reads, suspect, isLastCopy } = this.#options;
    if ((await reads.touch(countRecordsRequest(target), term)) || isLastCopy(shard)) return;
    await suspect(shard, 'could not be read after an update, so embeddings may be wrong', term);
  }

  /** Work of removing the documents that so many records of the call replace, or may replace. */
  async #removalWork(
    { shard, members }: ShardCall,
    target: AssignedShard,
    records: number,
  ): Promise<{ certain: number; possible: number }> {
    const replaces = replacesDocuments(members[0]!.operation.call);
    if (replaces === 'no') return { certain: 0, possible: 0 };
    const work = await this.#options.stored.removalWork(shard, target, records);
    return replaces === 'yes' ? { certain: work, possible: 0 } : { certain: 0, possible: work };
  }

  /** Waits for its turn among the nodes and announces the call. */
  async #longTurn(lsns: readonly number[], boundMs: number, term: Term): Promise<() => void> {
    const { stagger, node, announce, onLong, readsEnded } = this.#options;
    const lsn = lsns.at(-1) ?? 0;
    const release = await stagger.turn(node, term);
    const end = (): void => {
      onLong(false);
      release();
    };
    onLong(true);
    try {
      // For each part again: a new leader waits for what is announced before it sends anything else.
      await Promise.all([announce(lsn, boundMs, term), readsEnded()]);
    } catch (error) {
      end();
      throw error;
    }
    return end;
  }

  /** The node has applied these entries, of a split one the first `records`. */
  async #taken(shard: string, lsns: readonly number[], term: Term, records = Infinity): Promise<void> {
    const { positions, node, decisions, endings, trials, suspect } = this.#options;
    // R1: while the end of one is being recorded, nothing is acknowledged.
    await endings.known(lsns, term);
    const exceptions = lsns.map((lsn) => decisions.exception(lsn));
    const exceeded = exceptions.find((each) => each !== null && records > recordsToApply(each));
    // It ended while this node applied it (I8).
    if (exceeded !== undefined && exceeded !== null) {
      const how = exceeded.outcome === 'quarantined' ? 'quarantined' : 'applied only in part';
      return suspect(shard, `applied LSN ${exceeded.lsn}, which is ${how}`, term);
    }
    trials.applied(lsns);
    positions.shardApplied(node, shard, lsns);
  }

  /** The response came after the term: its entries count as applied, although the round is repeated. */
  #late(lsns: readonly number[]): void {
    const { positions, node, decisions, endings, trials } = this.#options;
    endings.onKnown(lsns, () => {
      if (lsns.some((lsn) => decisions.exception(lsn) !== null)) return;
      trials.applied(lsns);
      positions.lateApplied(node, lsns);
    });
  }

  #isSuspect(assigned: ReadonlyMap<string, AssignedShard>, shard: string): boolean {
    return (assigned.get(shard)?.suspect ?? null) !== null;
  }
}

interface PartsToSend {
  readonly call: ShardCall;
  readonly target: AssignedShard;
  readonly parts: Iterable<RecordCall>;
  readonly from: number;
  readonly to: number;
  readonly term: Term;
}

interface FailedPart {
  /** Its first record. */
  readonly from: number;
  /** A refusal without effect; null when the attempts are used up and counted. */
  readonly response: NodeResponse | null;
}

interface Sending {
  readonly call: ShardCall;
  readonly target: AssignedShard;
  readonly body: Buffer[];
  readonly records: number;
  /** Of what the body contains. */
  readonly work: number;
  readonly term: Term;
}

/** How many records of the entry nodes apply: the first ones. */
function recordsToApply(exception: Decision): number {
  return exception.outcome === 'partly_applied' ? appliedRecords(exception) : 0;
}

function updatesEmbeddings({ members }: ShardCall): boolean {
  return members.some(
    ({ operation: { call } }) => call.kind === 'update' && call.columns.embeddings !== undefined,
  );
}

function firstRecords(call: RecordCall, count: number): RecordCall {
  const [first] = splitCall(call, { work: Infinity, maxIds: count, maxBytes: Infinity });
  return first ?? call;
}

/** What a call may take in addition to its work, ms: it may be the first of its collection. */
function setupMsOf({ members }: ShardCall): number {
  const dimensions = members.map(({ operation }) => operation.call.dimension ?? 0);
  return SETUP_MS_A_DIMENSION * Math.max(0, ...dimensions);
}
