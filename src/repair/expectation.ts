// What a range of the log implies for the content of a node: for each id the last entry that changed it, for each name
// whether it is in use. A plain data structure; entries are added in LSN order, in slices that let the event loop turn.

import { onlyShard } from '../catalog/only-shard.ts';
import type { Column, RecordKind } from '../chroma/parse/record-call.ts';
import { idPages, LISTED_IDS_MAX } from '../chroma/parse/record-ids.ts';
import { type RecordOperation } from '../chroma/protocol/operation.ts';
import type { DatabaseName } from '../chroma/protocol/paths.ts';
import type { Entry } from '../log/entry.ts';
import type { Decision } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { BulkChanges } from './bulk-changes.ts';

export interface ExpectedRecord {
  readonly id: string;
  /** The last entry that changed it. */
  readonly lsn: number;
  /** The entries that its document and its embedding are from; null when they are from before, or not known. */
  readonly document: number | null;
  readonly embedding: number | null;
  /** Null after an update of a record that may not have existed, and when it may have been deleted. */
  readonly present: boolean | null;
  /** Entries that may be applied after it and contain other content for the record; null: too many to compare with. */
  readonly later: readonly number[] | null;
  /** LSN of the last entry that may be applied after it and changes the record; null when there is none. */
  readonly lastLater: number | null;
}

/** The ids that a conditional delete selected. */
export interface SelectedIds {
  readonly count: number;
  pages(): AsyncIterable<readonly string[]>;
}

export interface ExpectedName {
  readonly tenant: string;
  readonly database: string;
  /** Null for the database itself. */
  readonly name: string | null;
  /** The shard that has this name; null when the name must be unused. For a database, its id or null. */
  readonly shard: string | null;
}

// Of an id that so many entries in a row may change, the content is not compared.
const LATER_MAX = 8;

export class Expectation {
  /** By shard, then by the map key of the id; without what `bulk` expects. */
  readonly shards = new Map<string, Map<string, ExpectedRecord>>();
  /** Entries of too many ids to keep them. */
  readonly bulk = new BulkChanges();
  /** By shard of such entries, the last entry that may be applied after them: what it changes is not compared. */
  readonly uncompared = new Map<string, number>();
  /** Their shards. */
  readonly #bulkShards = new Map<number, string>();
  readonly #names = new Map<string, ExpectedName>();
  readonly #databaseOf: (shard: string) => DatabaseName | null;
  #recordCount = 0;

  /** `databaseOf`: the database of a shard that is assigned to the node; null for other shards. */
  constructor(databaseOf: (shard: string) => DatabaseName | null) {
    this.#databaseOf = databaseOf;
  }

  /** Ids in `shards`. */
  get recordCount(): number {
    return this.#recordCount;
  }

  get names(): readonly ExpectedName[] {
    return [...this.#names.values()];
  }

  /**
   * Adds an entry that the node has applied, with its decision, null when none is recorded, and the ids that a
   * conditional delete selected.
   */
  async applied(entry: Entry, decision: Decision | null, selected: SelectedIds | null = null): Promise<void> {
    // Which records a partly applied entry has changed is not compared: such entries are rare.
    if (decision?.outcome === 'partly_applied') return this.uncertain(entry);
    if (decision !== null && decision.outcome !== 'accepted') return;
    const operation = toOperation(entry);
    if (operation.type === 'records')
      return this.#recordsApplied(operation, entry.lsn, changedBy(operation, selected));
    switch (operation.type) {
      case 'create_collection': {
        const { tenant, database, name, shard } = operation;
        return this.#expectName({ tenant, database, name, shard });
      }
      case 'delete_collection': {
        const { tenant, database, name, shards } = operation;
        for (const shard of shards) this.#removeShard(shard);
        return this.#expectName({ tenant, database, name, shard: null });
      }
      case 'create_database':
        return this.#expectName({ ...operation, name: null, shard: operation.id });
      case 'delete_database':
        return this.#expectName({ ...operation, name: null, shard: null });
      case 'modify_collection': {
        if (operation.newName === null) return;
        const shard = onlyShard(operation);
        this.#removeNameOf(shard);
        const database = this.#databaseOf(shard);
        // The entry does not contain the old name, so only the new one can be checked.
        if (database !== null) this.#expectName({ ...database, name: operation.newName, shard });
        return;
      }
      case 'create_tenant':
      case 'delete_tenant':
      case 'note':
        return;
    }
  }

  /**
   * Adds an entry that the node may or may not have applied: nothing is expected of what it changes, and the rest must be
   * there. `selected`: the ids of a conditional delete; null while they are not known to be decided.
   */
  async uncertain(entry: Entry, selected: SelectedIds | null = null): Promise<void> {
    const operation = toOperation(entry);
    if (operation.type === 'records') return this.#recordsUncertain(operation, entry.lsn, selected);
    switch (operation.type) {
      case 'create_collection':
      case 'delete_collection':
        this.#names.delete(keyOfName(operation));
        if (operation.type === 'delete_collection')
          for (const shard of operation.shards) this.#removeShard(shard);
        return;
      case 'create_database':
      case 'delete_database':
        this.#names.delete(keyOfName({ ...operation, name: null }));
        return;
      case 'modify_collection':
        for (const shard of operation.shards) this.#removeNameOf(shard);
        return;
      case 'create_tenant':
      case 'delete_tenant':
      case 'note':
        return;
    }
  }

  async #recordsApplied({ shard, call }: RecordOperation, lsn: number, ids: SelectedIds): Promise<void> {
    const isBulk = ids.count > LISTED_IDS_MAX;
    if (isBulk) {
      this.bulk.begin(lsn);
      this.#bulkShards.set(lsn, shard);
    }
    const records = this.shards.get(shard) ?? new Map<string, ExpectedRecord>();
    this.shards.set(shard, records);
    for await (const page of ids.pages()) {
      for (const id of page) {
        this.bulk.changed(shard, id, isBulk ? lsn : null);
        if (isBulk) this.#removeRecord(shard, id);
        else this.#recordApplied(records, { id, lsn }, call);
      }
    }
  }

  #recordApplied(
    records: Map<string, ExpectedRecord>,
    { id, lsn }: Pick<ExpectedRecord, 'id' | 'lsn'>,
    { kind, columns }: RecordOperation['call'],
  ): void {
    const key = mapKey(id);
    const before = records.get(key) ?? null;
    // An add passes over a record that exists, an update over one that does not.
    if (before?.present === (kind === 'add') && (kind === 'add' || kind === 'update')) return;
    if (before === null) this.#recordCount += 1;
    const present = presenceAfter(kind, before?.present ?? null);
    const isKnown = kind === 'upsert' || kind === 'update' || (kind === 'add' && before?.present === false);
    // What it does not contain stays, if it is certain that the record was there, and as which entry left it.
    const kept = before?.present === true && before.later?.length === 0 && kind !== 'delete' ? before : null;
    const source = (column: Column, earlier: number | null | undefined): number | null =>
      isKnown && columns[column] !== undefined ? lsn : (earlier ?? null);
    const document = source('documents', kept?.document);
    const embedding = source('embeddings', kept?.embedding);
    records.set(key, { id, lsn, document, embedding, present, later: [], lastLater: null });
  }

  async #recordsUncertain(
    { shard, call }: RecordOperation,
    lsn: number,
    selected: SelectedIds | null,
  ): Promise<void> {
    if ([...this.#bulkShards.values()].includes(shard)) this.uncompared.set(shard, lsn);
    if (call.conditional && selected === null) return this.#anyMayBeDeleted(shard, lsn);
    const records = this.shards.get(shard);
    for await (const page of changedBy({ call }, selected).pages()) {
      for (const id of page) {
        this.bulk.changed(shard, id, null);
        if (records === undefined) continue;
        if (call.kind !== 'delete') mayBeWritten(records, mapKey(id), call, lsn);
        else mayBeDeleted(records, mapKey(id), lsn);
      }
    }
  }

  #anyMayBeDeleted(shard: string, lsn: number): void {
    this.#forgetBulk(shard);
    const records = this.shards.get(shard);
    for (const key of records?.keys() ?? []) mayBeDeleted(records as Map<string, ExpectedRecord>, key, lsn);
  }

  #forgetBulk(shard: string): void {
    for (const [lsn, target] of this.#bulkShards) if (target === shard) this.bulk.forget(lsn);
  }

  #expectName(expected: ExpectedName): void {
    this.#names.set(keyOfName(expected), expected);
  }

  #removeRecord(shard: string, id: string): void {
    if (this.shards.get(shard)?.delete(mapKey(id)) === true) this.#recordCount -= 1;
  }

  #removeRecords(shard: string): void {
    const records = this.shards.get(shard);
    this.#recordCount -= records?.size ?? 0;
    records?.clear();
  }

  #removeShard(shard: string): void {
    this.#forgetBulk(shard);
    this.#removeRecords(shard);
    this.shards.delete(shard);
    this.#removeNameOf(shard);
  }

  #removeNameOf(shard: string): void {
    for (const [key, expected] of this.#names) if (expected.shard === shard) this.#names.delete(key);
  }
}

function keyOfName({ tenant, database, name }: Pick<ExpectedName, 'tenant' | 'database' | 'name'>): string {
  return mapKey(JSON.stringify([tenant, database, name]));
}

/** The ids that the entry changes; none when a conditional delete is not known to have selected any. */
function changedBy({ call }: Pick<RecordOperation, 'call'>, selected: SelectedIds | null): SelectedIds {
  if (!call.conditional) return { count: call.ids.length, pages: () => idPages(call.ids) };
  return selected ?? { count: 0, pages: () => idPages([]) };
}

// A delete leaves what is absent absent, and changes no content: with that, a lost entry before it is still found.
function mayBeDeleted(records: Map<string, ExpectedRecord>, key: string, lsn: number): void {
  const expected = records.get(key);
  if (expected === undefined) return;
  const present = expected.present === true ? null : expected.present;
  records.set(key, { ...expected, present, lastLater: lsn });
}

/** A write that may have reached a record removes none. */
function mayBeWritten(
  records: Map<string, ExpectedRecord>,
  key: string,
  { kind, columns }: RecordOperation['call'],
  lsn: number,
): void {
  const before = records.get(key);
  // An add passes over a record that exists, an update over one that does not.
  if (before === undefined || (kind === 'add' && before.present === true)) return;
  const present = before.present === false && kind !== 'update' ? null : before.present;
  const hasContent = columns.documents !== undefined || columns.embeddings !== undefined;
  const isOneTooMany = before.later === null || before.later.length === LATER_MAX;
  const later = hasContent ? (isOneTooMany ? null : [...before.later, lsn]) : before.later;
  records.set(key, { ...before, present, later, lastLater: lsn });
}

function presenceAfter(kind: RecordKind, before: boolean | null): boolean | null {
  if (kind === 'delete') return false;
  return kind === 'update' ? before : true;
}
