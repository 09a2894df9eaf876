// Applies serial entries, each a round of its own: schema changes, and deletes whose ids depend on a node's state.

import type { NodeResponse } from '../chroma/client/node-request.ts';
import { errorBody } from '../chroma/protocol/error-body.ts';
import { isRefusal } from '../chroma/parse/refusal.ts';
import { readTopLevel, withCollectionId } from '../chroma/parse/rewrite.ts';
import type { Term } from '../coordination/term.ts';
import type { Entry } from '../log/entry.ts';
import { sleep, type Clock } from '../util/clock.ts';
import type { Arbiter } from './arbiter.ts';
import type { AssignedShard, ShardChange } from './checkpoints.ts';
import { CollectionRemoval, type CollectionRemovalOptions } from './collection-removal.ts';
import type { ConditionalDelete } from './conditional-delete.ts';
import type { DecisionWait } from './decision-wait.ts';
import type { Decisions, Ruling } from './decisions.ts';
import { CallFailed, type Delivery } from './delivery.ts';
import type { Endings } from './endings.ts';
import { ForeignContent, LacksShard } from './node-faults.ts';
import { lacksModification } from './modify-effect.ts';
import type { NodeReads } from './node-reads.ts';
import {
  needsDecision,
  type NodeSchemaOperation,
  type Operation,
  type SchemaOperation,
} from '../chroma/protocol/operation.ts';
import type { Positions } from './positions.ts';
import { schemaRequest } from './schema-requests.ts';
import {
  collectionRequest,
  countRecordsRequest,
  deleteCollectionRequest,
  listCollectionsRequest,
} from '../chroma/protocol/node-requests.ts';
import { collectionIdIn, hasNoEffect, isMissing, isSuccess } from '../chroma/protocol/response-effect.ts';
import type { Trials } from './trials.ts';

export interface SerialEntriesOptions extends CollectionRemovalOptions {
  readonly node: string;
  readonly clock: Clock;
  readonly delivery: Delivery;
  readonly reads: NodeReads;
  readonly waits: DecisionWait;
  readonly deletes: Pick<ConditionalDelete, 'apply'>;
  readonly arbiter: Pick<Arbiter, 'resolve'>;
  readonly trials: Pick<Trials, 'of' | 'isOpen' | 'isIsolated' | 'applied'>;
  readonly positions: Positions;
  readonly endings: Pick<Endings, 'known'>;
  readonly decisions: Pick<Decisions, 'isQuarantined'>;
  /** Whether the log deletes the collection of a shard, at any later LSN included. */
  readonly isDeleted: (shard: string) => boolean;
  /** This node cannot decide the entry at `lsn`. Whether another node becomes primary in its place. */
  readonly stepDown: (lsn: number) => boolean;
  /** Makes this node's copy of a shard suspect, durably, before anything is served from it (I8). */
  readonly suspect: (shard: string, reason: string, term: Term) => Promise<void>;
  /** Whether the collection with this id on the node is a copy of ours that is not in use. */
  readonly isAside: (physical: string) => Promise<boolean>;
  /** Whether the node has such collections in this database: it cannot go before they are emptied. */
  readonly holdsAside: (place: { readonly tenant: string; readonly database: string }) => Promise<boolean>;
}

type CreateCollection = Extract<SchemaOperation, { type: 'create_collection' }>;
type AssignedShards = Map<string, AssignedShard>;

/** A stock server's response to a schema call without a result. */
const DONE = Buffer.from('{}');
// Creating a collection takes a stock server milliseconds.
const SCHEMA_WORK = 0.01;

/** The response when the only working node cannot use the collection: nothing was changed on any node. */
const NO_OTHER_NODE: Ruling = {
  outcome: 'refused',
  status: 503,
  body: Buffer.from(
    errorBody(
      'ChromaError',
      'Nothing was changed: the only working node has lost this collection, or its copy is suspect. Try again when another node is back.',
    ),
  ),
};

const PAUSE_MS = 200;

export class SerialEntries {
  readonly #options: SerialEntriesOptions;
  readonly #removal: CollectionRemoval;

  constructor(options: SerialEntriesOptions) {
    this.#options = options;
    this.#removal = new CollectionRemoval(options);
  }

  /** Applies one entry, updates `assigned` and returns its changes. Throws TermOver, ForeignContent. */
  async apply(
    entry: Entry,
    operation: Operation,
    assigned: AssignedShards,
    term: Term,
  ): Promise<ShardChange[]> {
    const { trials } = this.#options;
    for (;;) {
      try {
        if (trials.isOpen(entry.lsn)) {
          const next = await this.#resolved(entry, operation, assigned, term);
          if (next === 'past') return [];
        }
        const changes = await this.#apply(entry, operation, assigned, term);
        trials.applied([entry.lsn]);
        return changes;
      } catch (error) {
        if (error instanceof LacksShard) {
          await this.#withoutShard(error, entry, assigned, term);
          return [];
        }
        // The failed attempts are recorded: the arbiter resolves them in the next iteration.
        if (!(error instanceof CallFailed)) throw error;
        await sleep(this.#options.clock, PAUSE_MS, term.signal);
      }
    }
  }

  /** What to do with an entry that has failed: `send` it, or go `past` it. */
  async #resolved(
    entry: Entry,
    operation: Operation,
    assigned: AssignedShards,
    term: Term,
  ): Promise<'send' | 'past'> {
    const { arbiter, node } = this.#options;
    const resolution = await arbiter.resolve({ node, entry, operation, applied: 0 }, term);
    if (resolution === 'suspect') throw this.#blamed(operation, entry);
    if (resolution === 'offer') return 'send';
    await this.#undo(entry, operation, assigned, term);
    this.#options.positions.discarded(entry.lsn);
    return 'past';
  }

  /** This node fails an entry that others can apply. */
  #blamed(operation: Operation, { lsn }: Entry): Error {
    const reason = `the node fails LSN ${lsn}, and others do not`;
    if (operation.type === 'records') return new LacksShard([operation.shard], reason);
    if (operation.type === 'modify_collection') return new LacksShard(operation.shards, reason);
    if (operation.type === 'delete_collection') return new ForeignContent(reason);
    // A collection that it cannot create has no copy to mark; if this node was to decide, another does.
    return this.#options.stepDown(lsn) ? new LacksShard([], reason) : new ForeignContent(reason);
  }

  async #apply(
    entry: Entry,
    operation: Operation,
    assigned: AssignedShards,
    term: Term,
  ): Promise<ShardChange[]> {
    if (isInCopy(operation, assigned, entry)) {
      const { outcome } = await this.#options.waits.decided(entry.lsn, term, async () => null);
      if (outcome !== 'accepted') this.#options.positions.discarded(entry.lsn);
      return [];
    }
    if (operation.type === 'records') {
      const target = assigned.get(operation.shard);
      if (target === undefined)
        throw new Error(`LSN ${entry.lsn}: this node has no shard ${operation.shard}`);
      const decision = await this.#options.deletes.apply(entry.lsn, operation, target, term);
      if (decision.outcome !== 'accepted') this.#options.positions.discarded(entry.lsn);
      else if (target.suspect === null) await this.#deleted(operation.shard, entry.lsn, term);
      return [];
    }
    if (operation.type === 'delete_tenant' || operation.type === 'note') return [];
    if (operation.type === 'create_collection') return this.#create(entry, operation, assigned, term);
    if (operation.type === 'delete_collection') return this.#drop(entry, operation, assigned, term);
    if (operation.type === 'delete_database' && (await this.#options.holdsAside(operation))) return [];
    if (!needsDecision(operation)) {
      await this.#send(entry, operation, assigned, term);
      return [];
    }
    let applied = false;
    const decision = await this.#options.waits.decided(entry.lsn, term, async () => {
      const response = await this.#send(entry, operation, assigned, term);
      mustHave(operation, response, entry);
      applied = true;
      return ruling(response, response.body);
    });
    if (decision.outcome !== 'accepted') await this.#undo(entry, operation, assigned, term);
    else if (!applied) mustHave(operation, await this.#send(entry, operation, assigned, term), entry);
    return decision.outcome === 'accepted' ? renamed(operation, assigned, entry) : [];
  }

  /** This node has deleted what a conditional delete selected. */
  async #deleted(shard: string, lsn: number, term: Term): Promise<void> {
    const { endings, decisions, positions, node, suspect } = this.#options;
    // R1: while its end is being recorded, it is not acknowledged.
    await endings.known([lsn], term);
    if (!decisions.isQuarantined(lsn)) return positions.shardApplied(node, shard, [lsn]);
    await suspect(shard, `applied LSN ${lsn}, which is quarantined`, term);
  }

  /**
   * I8: this node cannot use a shard that is assigned to it. Nothing is decided from it and nothing is served from it;
   * if this node was to decide, another does. Without another, the entry is refused: left undecided before a checkpoint
   * it would never be decided, and later nodes would wait for ever.
   */
  async #withoutShard(
    { shards, message }: LacksShard,
    entry: Entry,
    assigned: AssignedShards,
    term: Term,
  ): Promise<void> {
    const { suspect, stepDown, positions, node, waits } = this.#options;
    for (const shard of shards) {
      const known = assigned.get(shard);
      if (known === undefined || known.suspect !== null) continue;
      await suspect(shard, message, term);
    }
    const decide = async (): Promise<Ruling | null> => (stepDown(entry.lsn) ? null : NO_OTHER_NODE);
    const decision = await waits.decided(entry.lsn, term, decide);
    if (decision.outcome !== 'accepted') return positions.discarded(entry.lsn);
    if (shards.length === 0) throw new ForeignContent(message);
    positions.nodeSkipped(node, entry.lsn);
  }

  async #create(
    entry: Entry,
    operation: CreateCollection,
    assigned: AssignedShards,
    term: Term,
  ): Promise<ShardChange[]> {
    let response: NodeResponse | undefined;
    const decision = await this.#options.waits.decided(entry.lsn, term, async () => {
      response = await this.#createAnew(entry, operation, assigned, term);
      const { body } = response;
      return ruling(response, isSuccess(response) ? withCollectionId(body, operation.collection) : body);
    });
    if (decision.outcome !== 'accepted') {
      await this.#undo(entry, operation, assigned, term);
      return [];
    }
    // Decided by another node, or by this one before a crash: follow the decision.
    if (response === undefined || !isSuccess(response))
      response = await this.#createAnew(entry, operation, assigned, term);
    const id = idIn(response.body);
    if (id === null) throw new ForeignContent(`collection "${operation.name}" was created without an id`);
    const { tenant, database, name, shard } = operation;
    const created = { physical: id, tenant, database, name, fromLSN: entry.lsn, copy: 0, suspect: null };
    assigned.set(shard, created);
    return [{ shard, physical: id, name, lsn: entry.lsn }];
  }

  /**
   * Creates the collection. One that already has its name is this entry's own, from before a crash, or belongs to a
   * refused entry; it is empty in both cases, and is removed first.
   */
  async #createAnew(
    entry: Entry,
    operation: CreateCollection,
    assigned: AssignedShards,
    term: Term,
  ): Promise<NodeResponse> {
    const response = await this.#send(entry, operation, assigned, term);
    if (response.status !== 409) return response;
    if (!(await this.#removeLeftover(entry, operation, assigned, term))) {
      throw new ForeignContent(`another collection has the name "${operation.name}"`);
    }
    return this.#send(entry, operation, assigned, term);
  }

  /** Removes an empty collection that is not in the log. False when the name belongs to a shard of the log. */
  async #removeLeftover(
    entry: Entry,
    operation: CreateCollection,
    assigned: ReadonlyMap<string, AssignedShard>,
    term: Term,
  ): Promise<boolean> {
    const { reads, delivery, isDeleted } = this.#options;
    const found = await reads.read(collectionRequest(operation, operation.name), entry.lsn, term);
    if (!isSuccess(found)) return true;
    const id = collectionIdIn(found);
    const known = [...assigned].find(([, { physical }]) => physical === id);
    if (known !== undefined) {
      if (!isDeleted(known[0])) return false;
      // No node could rename it when it was deleted.
      await this.#removal.rename(known[1], entry.lsn, term);
      return true;
    }
    if (id !== null && (await this.#options.isAside(id))) {
      await this.#removal.rename({ ...operation, physical: id }, entry.lsn, term);
      return true;
    }
    const counted = countRecordsRequest({ ...operation, physical: id ?? '' });
    const count = (await reads.read(counted, entry.lsn, term)).body.toString();
    if (count !== '0')
      throw new ForeignContent(`collection "${operation.name}" already holds ${count} records`);
    const request = deleteCollectionRequest(operation, operation.name);
    await delivery.call({ request, lsns: [entry.lsn], work: SCHEMA_WORK, isFinal: isMissing }, term);
    return true;
  }

  /** Undoes what a refused entry may have done to this node, once no call can be executed late; verifies it by a read. */
  async #undo(entry: Entry, operation: Operation, assigned: AssignedShards, term: Term): Promise<void> {
    if (operation.type !== 'create_collection' && operation.type !== 'modify_collection') return;
    await this.#options.delivery.settled(term);
    if (operation.type === 'create_collection') {
      try {
        return void (await this.#removeLeftover(entry, operation, assigned, term));
      } catch (error) {
        // What cannot be read back cannot be undone: the node holds something that is not in the log.
        if (error instanceof CallFailed)
          throw new ForeignContent(`collection "${operation.name}" cannot be undone`);
        throw error;
      }
    }
    // Offered, and not refused in a way known to have no effect: the collection may have changed.
    if (!this.#options.trials.of(entry.lsn).has(this.#options.node)) return;
    for (const shard of operation.shards) {
      const target = assigned.get(shard);
      if (target !== undefined && (await this.#lacks(operation.body, target, entry.lsn, term))) continue;
      await this.#options.suspect(shard, `LSN ${entry.lsn} was refused, and may have been applied`, term);
    }
  }

  /** Whether the collection shows that the modification was not applied. */
  async #lacks(body: Buffer, target: AssignedShard, lsn: number, term: Term): Promise<boolean> {
    try {
      const list = await this.#options.reads.read(listCollectionsRequest(target), lsn, term);
      return lacksModification(body, list, target.physical);
    } catch (error) {
      if (error instanceof CallFailed) return false;
      throw error;
    }
  }

  /** Removes a collection, found by its id on the node: a 404 for its name would prove nothing. */
  async #drop(
    { lsn }: Entry,
    { shards }: Extract<SchemaOperation, { type: 'delete_collection' }>,
    assigned: AssignedShards,
    term: Term,
  ): Promise<ShardChange[]> {
    const { trials, node } = this.#options;
    // One ended connection is no evidence against the drop. After two, on any nodes, the name is freed without it.
    const isGivenUp = trials.of(lsn).has(node) && trials.isIsolated(lsn);
    const remove = isGivenUp ? this.#removal.giveUp : this.#removal.remove;
    const changes: ShardChange[] = [];
    for (const shard of shards) {
      const target = assigned.get(shard);
      changes.push({ shard, physical: null, name: target ? await remove(target, lsn, term) : null, lsn });
    }
    shards.forEach((shard) => assigned.delete(shard));
    return changes;
  }

  /** Sends a schema operation; a response that means it was applied before counts as success. */
  async #send(
    { lsn }: Entry,
    operation: Exclude<NodeSchemaOperation, { type: 'delete_collection' }>,
    assigned: ReadonlyMap<string, AssignedShard>,
    term: Term,
  ): Promise<NodeResponse> {
    const { request, alreadyDone } = schemaRequest(operation, assigned);
    const isFinal = (response: NodeResponse): boolean =>
      response.status === alreadyDone || hasNoEffect(request.operation, response);
    const call = { request, lsns: [lsn], work: SCHEMA_WORK, isFinal };
    const response = await this.#options.delivery.call(call, term);
    // The log guarantees that a first attempt is not refused so: the entry was applied before.
    return response.status === alreadyDone ? { ...response, status: 200, body: DONE } : response;
  }
}

/** Throws LacksShard when the node does not have the collection. */
function mustHave(operation: SchemaOperation, response: NodeResponse, { lsn }: Entry): void {
  if (operation.type === 'modify_collection' && isMissing(response))
    throw new LacksShard(operation.shards, `the node has no such collection, at LSN ${lsn}`);
}

/** Whether the copy in use was made at a later LSN: the entry is in it. */
function isInCopy(operation: Operation, assigned: AssignedShards, { lsn }: Entry): boolean {
  const isIn = (shard: string): boolean => lsn <= (assigned.get(shard)?.fromLSN ?? 0);
  if (operation.type === 'records') return isIn(operation.shard);
  return operation.type === 'modify_collection' && operation.shards.every(isIn);
}

function renamed(operation: SchemaOperation, assigned: AssignedShards, { lsn }: Entry): ShardChange[] {
  if (operation.type !== 'modify_collection' || operation.newName === null) return [];
  const { newName: name, shards } = operation;
  return shards.flatMap((shard) => {
    const known = assigned.get(shard);
    if (known === undefined) return [];
    assigned.set(shard, { ...known, name });
    return [{ shard, physical: known.physical, name, lsn }];
  });
}

function ruling(response: NodeResponse, body: Buffer): Ruling {
  return { outcome: isSuccess(response) ? 'accepted' : 'refused', status: response.status, body };
}

function idIn(body: Buffer): string | null {
  const fields = readTopLevel(body, ['id']);
  const id = isRefusal(fields) ? undefined : fields.get('id');
  return id?.type === 'string' ? id.value : null;
}
