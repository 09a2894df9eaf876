// Entries that make a round alone: schema entries, and deletes whose ids depend on a node's state. What only a node
// can decide is decided by the primary and recorded before it has further effect; everyone else waits for the record.

import { deleteByIdsBodies, type MergeLimits } from '../chroma/merge.ts';
import { errorBody } from '../chroma/error-body.ts';
import { effectFree, type NodeOperation } from '../chroma/node-api.ts';
import type { MutateRequest, NodeClient, NodeResponse } from '../chroma/node-client.ts';
import {
  collectionByIdPath,
  collectionByNamePath,
  collectionsPath,
  databasePath,
  databasesPath,
  recordsPath,
  tenantsPath,
} from '../chroma/paths.ts';
import type { RecordCall, RecordKind } from '../chroma/record-call.ts';
import { isRefusal } from '../chroma/scanner.ts';
import { readTopLevel, withCollectionId, withGetOrCreate } from '../chroma/rewrite.ts';
import type { Term } from '../cluster/lease.ts';
import type { Entry } from '../log/entry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Notifier } from '../util/notifier.ts';
import type { ShardChange, Decision, Decisions, HeldShard } from './checkpoints.ts';
import { TermOver, type Delivery } from './delivery.ts';
import { needsDecision, type Operation, type RecordOperation, type SchemaOperation } from './operation.ts';
import type { Positions } from './positions.ts';

export interface Primary {
  readonly node: string | null;
  readonly generation: number;
}

export interface SoloContext {
  readonly node: string;
  readonly client: NodeClient;
  readonly clock: Clock;
  readonly positions: Positions;
  readonly decisions: Pick<Decisions, 'find' | 'record' | 'recorded'>;
  readonly limits: () => MergeLimits;
  /** Whether lists in metadata outlive their collection on these servers. */
  readonly leavesLists: () => boolean;
  /** Who decides at this moment. */
  readonly primary: () => Primary;
  readonly primaryChanged: Notifier;
  /** This node cannot decide the entry at `lsn`; whether another will be primary in its place. */
  readonly stepDown: (lsn: number) => boolean;
  /** Makes a shard of this node suspect, durably and then to its applier, before anything is answered from it (I8). */
  readonly suspect: (shard: string, reason: string, term: Term) => Promise<void>;
  readonly onTrouble: (error: Error) => void;
  readonly onSchemaApplied: () => void;
}

const READ_DEADLINE_MS = 30_000;
const PAUSE_MS = 200;

type Ruling = Omit<Decision, 'lsn'>;

/** What Chroma answers a schema call with that has nothing to tell. */
const DONE = Buffer.from('{}');

/** What the client is told when the only node there is has lost the collection: nothing was changed, anywhere. */
const NOBODY_CAN_TELL: Ruling = {
  outcome: 'refused',
  status: 503,
  body: Buffer.from(
    errorBody(
      'ChromaError',
      'Nothing was changed: the only node at work has lost this collection or holds it in doubt. Try again when another node is back.',
    ),
  ),
};

const ok = (response: NodeResponse): boolean => response.status >= 200 && response.status < 300;

export class SoloEntries {
  readonly #context: SoloContext;
  readonly #delivery: Delivery;

  constructor(context: SoloContext, delivery: Delivery) {
    this.#context = context;
    this.#delivery = delivery;
  }

  /** Applies one entry, keeps `held` true and returns what has changed of it. */
  async apply(
    entry: Entry,
    operation: Operation,
    held: Map<string, HeldShard>,
    term: Term,
  ): Promise<ShardChange[]> {
    try {
      return await this.#apply(entry, operation, held, term);
    } catch (error) {
      if (!(error instanceof LacksShard)) throw error;
      await this.#lacks(error, entry, held, term);
      return [];
    }
  }

  async #apply(
    entry: Entry,
    operation: Operation,
    held: Map<string, HeldShard>,
    term: Term,
  ): Promise<ShardChange[]> {
    if (operation.type === 'records') {
      await this.#conditionalDelete(entry, operation, held, term);
      return [];
    }
    if (operation.type === 'create_collection') return this.#create(entry, operation, held, term);
    if (!needsDecision(operation)) {
      if (operation.type === 'delete_collection') await this.#empty(entry, operation.shards, held, term);
      await this.#send(entry, operation, held, term);
      if (operation.type !== 'delete_collection') return [];
      for (const shard of operation.shards) held.delete(shard);
      return operation.shards.map((shard) => ({ shard, physical: null, lsn: entry.lsn }));
    }
    let applied = false;
    const decision = await this.#decided(entry, term, async () => {
      const response = await this.#send(entry, operation, held, term);
      mustHave(operation, response, entry);
      applied = true;
      return ruling(response, response.body);
    });
    if (decision.outcome === 'accepted' && !applied)
      mustHave(operation, await this.#send(entry, operation, held, term), entry);
    return [];
  }

  /**
   * I8: the log says that this node has a shard, and the node that it has not. Nothing is decided from that, and nothing
   * more is answered from the shard; if this node was to decide, another does. Where there is no other, the entry is
   * refused: left undecided behind a checkpoint it would never be decided, and whoever comes later would wait for ever.
   */
  async #lacks(
    { shards, message }: LacksShard,
    entry: Entry,
    held: Map<string, HeldShard>,
    term: Term,
  ): Promise<void> {
    const { suspect, stepDown, positions, node } = this.#context;
    for (const shard of shards) {
      const known = held.get(shard);
      if (known === undefined || known.suspect !== null) continue;
      await suspect(shard, message, term);
    }
    const decision = await this.#decided(entry, term, async () =>
      stepDown(entry.lsn) ? null : NOBODY_CAN_TELL,
    );
    if (decision.outcome === 'accepted') positions.nodePassed(node, entry.lsn);
    else positions.cameToNothing(entry.lsn);
  }

  async #create(
    entry: Entry,
    operation: Extract<SchemaOperation, { type: 'create_collection' }>,
    held: Map<string, HeldShard>,
    term: Term,
  ): Promise<ShardChange[]> {
    let response: NodeResponse | undefined;
    const decision = await this.#decided(entry, term, async () => {
      response = await this.#send(entry, operation, held, term);
      return ruling(
        response,
        ok(response) ? withCollectionId(response.body, operation.collection) : response.body,
      );
    });
    if (decision.outcome !== 'accepted') return [];
    // Somebody else decided: this node follows, as on a repetition after a crash.
    if (response === undefined || !ok(response)) response = await this.#send(entry, operation, held, term);
    const fields = readTopLevel(response.body, ['id']);
    const id = isRefusal(fields) ? undefined : fields.get('id');
    if (id?.type !== 'string') {
      throw new ForeignContent(`collection "${operation.name}" was created without an id being named`);
    }
    await this.#mustBeNew(operation, id.value, held, term);
    const { tenant, database } = operation;
    held.set(operation.shard, { physical: id.value, tenant, database, suspect: null });
    return [{ shard: operation.shard, physical: id.value, lsn: entry.lsn }];
  }

  /**
   * get_or_create may have answered with a collection that was there before. After an interrupted round that is this
   * entry's own; anything else is content the log knows nothing of, and would mix with it.
   */
  async #mustBeNew(
    operation: Extract<SchemaOperation, { type: 'create_collection' }>,
    id: string,
    held: ReadonlyMap<string, HeldShard>,
    term: Term,
  ): Promise<void> {
    for (const [shard, other] of held) {
      if (other.physical === id && shard !== operation.shard) {
        throw new ForeignContent(`collection "${operation.name}" answers with the id of another one`);
      }
    }
    const count = await this.#read({ method: 'GET', path: recordsPath(operation, id, 'count') }, term);
    if (count.body.toString() !== '0') {
      throw new ForeignContent(
        `collection "${operation.name}" already holds ${count.body.toString()} records`,
      );
    }
  }

  async #conditionalDelete(
    entry: Entry,
    operation: RecordOperation,
    held: ReadonlyMap<string, HeldShard>,
    term: Term,
  ): Promise<void> {
    const { shard, call } = operation;
    const target = held.get(shard);
    if (target === undefined) throw new Error(`LSN ${entry.lsn}: this node has no shard ${shard}`);
    const lacking = (): never => {
      throw new LacksShard([shard], entry.lsn);
    };
    const decision = await this.#decided(entry, term, async () => {
      if (target.suspect !== null) return lacking();
      const found = await this.#read(
        { method: 'POST', path: recordsPath(target, target.physical, 'get'), body: selectionOf(call) },
        term,
      );
      if (isMissing(found)) return lacking();
      if (!ok(found)) return ruling(found, found.body);
      const ids = (JSON.parse(found.body.toString()) as { ids: string[] }).ids;
      return { outcome: 'accepted', status: 200, body: Buffer.from(JSON.stringify(ids)) };
    });
    if (decision.outcome !== 'accepted') return this.#context.positions.cameToNothing(entry.lsn);
    if (target.suspect !== null) return;
    crashPoint('decision_recorded');
    const ids = JSON.parse(decision.body.toString()) as string[];
    for (const [chunk, body] of deleteByIdsBodies(ids, this.#context.limits().maxIds).entries()) {
      if (chunk > 0) crashPoint('delete_halfway');
      const deleted = await this.#delivery.call(
        recordsRequest(target, 'delete', [body]),
        [entry.lsn],
        isMissing,
        term,
      );
      if (isMissing(deleted)) lacking();
    }
  }

  /**
   * Deletes every record before the collection is dropped, where servers take lists in metadata: those of a dropped
   * collection stay behind in such a server and turn up on records stored later, other ones on each node (I8).
   */
  async #empty(
    { lsn }: Entry,
    shards: readonly string[],
    held: ReadonlyMap<string, HeldShard>,
    term: Term,
  ): Promise<void> {
    const { limits, leavesLists } = this.#context;
    if (!leavesLists()) return;
    const limit = limits().maxIds;
    const body = Buffer.from(JSON.stringify({ limit, include: [] }));
    for (const target of shards.flatMap((shard) => held.get(shard) ?? [])) {
      for (;;) {
        const path = recordsPath(target, target.physical, 'get');
        const page = await this.#read({ method: 'POST', path, body }, term);
        // Gone already: the round is made again.
        const ids = ok(page) ? (JSON.parse(page.body.toString()) as { ids: string[] }).ids : [];
        const [deletion] = deleteByIdsBodies(ids, limit);
        if (ids.length === 0 || deletion === undefined) break;
        const isFinal = ({ status, body: said }: NodeResponse): boolean => effectFree('delete', status, said);
        const deleted = await this.#delivery.call(
          recordsRequest(target, 'delete', [deletion]),
          [lsn],
          isFinal,
          term,
        );
        if (!ok(deleted)) break;
      }
    }
  }

  /**
   * The decision for an entry: the recorded one, or `decide`'s when this node is the primary and has recorded it. Where
   * that is null it is left to another primary, and asked again as long as none has come.
   */
  async #decided(entry: Entry, term: Term, decide: () => Promise<Ruling | null>): Promise<Decision> {
    const { decisions, primary, primaryChanged, node, clock, onTrouble } = this.#context;
    for (;;) {
      if (!term.held()) throw new TermOver();
      const watch = new AbortController();
      const signal = AbortSignal.any([watch.signal, term.signal]);
      // Watched before looking, so that nothing recorded in between is missed.
      const changed = Promise.race([decisions.recorded.wait(signal), primaryChanged.wait(signal)]);
      try {
        const found = await decisions.find(entry.lsn);
        if (found !== null) return found;
        const { node: decider, generation } = primary();
        if (decider === node) {
          const ruled = await decide();
          if (ruled === null) {
            await Promise.race([changed, sleep(clock, PAUSE_MS, signal)]);
            continue;
          }
          crashPoint('decision_before');
          const by = { epoch: term.epoch, node, generation };
          const stands = await decisions.record(by, { lsn: entry.lsn, ...ruled });
          if (stands !== null) return stands;
          // Somebody else decides by now; this process has not heard of it yet.
          await sleep(clock, PAUSE_MS, term.signal);
        } else {
          await changed;
        }
      } catch (error) {
        if (error instanceof TermOver || error instanceof ForeignContent || error instanceof LacksShard)
          throw error;
        onTrouble(error as Error);
        await sleep(clock, PAUSE_MS, term.signal);
      } finally {
        watch.abort();
      }
    }
  }

  /** Sends a schema operation; answers that mean "already so" on a repetition count as done. */
  async #send(
    { lsn }: Entry,
    operation: SchemaOperation,
    held: ReadonlyMap<string, HeldShard>,
    term: Term,
  ): Promise<NodeResponse> {
    const { request, effect, alreadyDone } = requestOf(operation, held);
    const final = ({ status, body }: NodeResponse): boolean =>
      status === alreadyDone || effectFree(effect, status, body);
    const response = await this.#delivery.call(request, [lsn], final, term);
    // The log has made sure that the first time could not be refused so: what is there already is this entry's own.
    return response.status === alreadyDone ? { ...response, status: 200, body: DONE } : response;
  }

  /** A read the applier needs, repeated until the node answers it below 500. */
  async #read(
    request: { method: 'GET' | 'POST'; path: string; body?: Buffer },
    term: Term,
  ): Promise<NodeResponse> {
    const { client, clock, onTrouble } = this.#context;
    for (;;) {
      if (!term.held()) throw new TermOver();
      try {
        const response = await client.read({ ...request, deadlineMs: READ_DEADLINE_MS, signal: term.signal });
        if (response.status < 500) return response;
        onTrouble(
          new Error(`HTTP ${response.status} to a read: ${response.body.subarray(0, 300).toString()}`),
        );
      } catch (error) {
        onTrouble(error as Error);
      }
      await sleep(clock, PAUSE_MS, term.signal);
    }
  }
}

/** A node holds something under a name the log says is free. */
export class ForeignContent extends Error {
  override readonly name = 'ForeignContent';
}

/** A node says that it has not what the log says it has. */
class LacksShard extends Error {
  override readonly name = 'LacksShard';
  readonly shards: readonly string[];

  constructor(shards: readonly string[], lsn: number) {
    super(`the node has no such collection, at LSN ${lsn}`);
    this.shards = shards;
  }
}

/** Chroma's own 404: the collection is not there. */
function isMissing({ status, body }: NodeResponse): boolean {
  return status === 404 && effectFree('delete', status, body);
}

/** Throws LacksShard when the node does not know the collection it was to change. */
function mustHave(operation: SchemaOperation, response: NodeResponse, { lsn }: Entry): void {
  if (operation.type === 'modify_collection' && isMissing(response))
    throw new LacksShard(operation.shards, lsn);
}

/** The call that brings records to a shard of a node. */
export function recordsRequest(
  shard: HeldShard,
  kind: RecordKind,
  body: readonly Buffer[],
): Omit<MutateRequest, 'beforeLast'> {
  return { method: 'POST', path: recordsPath(shard, shard.physical, kind), body };
}

function ruling(response: NodeResponse, body: Buffer): Ruling {
  return { outcome: ok(response) ? 'accepted' : 'refused', status: response.status, body };
}

/** The body of the get that selects what a conditional delete means: the same filters, no columns. */
function selectionOf(call: RecordCall): Buffer {
  const parts: string[] = ['"include":[]'];
  // Servers that do not know `limit` let it stand twice, as null; then there is none.
  for (const keys of [['ids', 'where', 'where_document'], ['limit']]) {
    const fields = readTopLevel(call.body, keys);
    if (isRefusal(fields)) {
      if (keys.includes('limit')) continue;
      throw new Error(`A delete that was checked cannot be read: ${fields.message}`);
    }
    for (const [name, { type, slice }] of fields) {
      if (type !== 'null') parts.push(`"${name}":${call.body.subarray(slice.start, slice.end).toString()}`);
    }
  }
  return Buffer.from(`{${parts.join(',')}}`);
}

interface SchemaRequest {
  readonly request: Omit<MutateRequest, 'beforeLast'>;
  readonly effect: NodeOperation;
  /** The status by which a repetition is told that the first time had its effect. */
  readonly alreadyDone: number | null;
}

function requestOf(operation: SchemaOperation, held: ReadonlyMap<string, HeldShard>): SchemaRequest {
  const named = (name: string): Buffer => Buffer.from(JSON.stringify({ name }));
  switch (operation.type) {
    case 'create_collection': {
      // With get_or_create a repetition finds what the first time made.
      const body = withGetOrCreate(operation.body);
      const request = { method: 'POST', path: collectionsPath(operation), body } as const;
      return { request, effect: 'create_collection', alreadyDone: null };
    }
    case 'modify_collection': {
      const target = held.get(operation.shards[0] as string);
      if (target === undefined)
        throw new Error(`This node has no shard of collection ${operation.collection}`);
      const path = collectionByIdPath(target, target.physical);
      return {
        request: { method: 'PUT', path, body: operation.body },
        effect: 'modify_collection',
        alreadyDone: null,
      };
    }
    case 'delete_collection': {
      const path = collectionByNamePath(operation, operation.name);
      return { request: { method: 'DELETE', path }, effect: 'delete_collection', alreadyDone: 404 };
    }
    case 'create_tenant': {
      const request = { method: 'POST', path: tenantsPath, body: named(operation.tenant) } as const;
      return { request, effect: 'create_tenant', alreadyDone: 409 };
    }
    case 'create_database': {
      const path = databasesPath(operation.tenant);
      const request = { method: 'POST', path, body: named(operation.database) } as const;
      return { request, effect: 'create_database', alreadyDone: 409 };
    }
    case 'delete_database':
      return {
        request: { method: 'DELETE', path: databasePath(operation) },
        effect: 'delete_database',
        alreadyDone: 404,
      };
  }
}
