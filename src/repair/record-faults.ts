// Compares the records that a range of the log changed with those of a node, in pages.

import type { RecordCall } from '../chroma/parse/record-call.ts';
import { repeatsId } from '../chroma/parse/record-ids.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { nextTurn } from '../util/next-turn.ts';
import type { Expectation, ExpectedRecord, SelectedIds } from './expectation.ts';
import { comparableParts, contentOf, type SentContent } from './record-content.ts';
import { recordFault, type CheckedRecord, type ReadNode } from './shard-check.ts';

export interface RecordFaultsOptions {
  readonly read: ReadNode;
  readonly expectation: Expectation;
  readonly assigned: ReadonlyMap<string, AssignedShard>;
  /** The entry at an LSN. */
  readonly entryAt: (lsn: number) => Promise<Entry | null>;
}

// Far below the 32,766 ids at which Chroma fails (docs/chroma-behaviour.md#order-and-scanning); keeps responses with
// vectors small. Of deleted records nothing is expected in the response.
const IDS_PER_READ = 500;
const DELETED_IDS_PER_READ = 4_000;
const ID_CHARACTERS_PER_READ = 512 * 1024;

interface ChangedPage {
  readonly ids: Iterable<string>;
  readonly content: ReadonlyMap<string, SentContent>;
}

interface Batch {
  readonly shard: string;
  readonly records: Map<string, CheckedRecord>;
  characters: number;
}

export class RecordFaults {
  readonly #options: RecordFaultsOptions;
  /** By shard, those of deleted records apart: records that wait to be compared. */
  readonly #batches = new Map<string, Batch>();
  readonly #found = new Map<string, string>();

  constructor(options: RecordFaultsOptions) {
    this.#options = options;
  }

  /** Compares the records of which `entry` is the last change. `selected`: the ids of a conditional delete. */
  async add(entry: Entry, selected: SelectedIds | null): Promise<void> {
    const operation = toOperation(entry);
    if (operation.type !== 'records') return;
    const { shard, call } = operation;
    if (!this.#options.assigned.has(shard)) return;
    for await (const { ids, content } of changedPages(call, selected)) {
      if (this.#found.has(shard)) return;
      for (const id of ids) {
        const key = mapKey(id);
        const expected = this.#expected(shard, key, { id, entry, kind: call.kind });
        if (expected === null) continue;
        const sent = content.get(key) ?? null;
        await this.#batch(shard, key, { ...expected, content: sent && stillLast(sent, expected) });
      }
    }
  }

  /** By shard, the first record that differs. */
  async finish(): Promise<Map<string, string>> {
    for (const name of this.#batches.keys()) await this.#check(name);
    return this.#found;
  }

  /** Null when a later entry changed the record, or may have. */
  #expected(
    shard: string,
    key: string,
    {
      id,
      entry: { lsn },
      kind,
    }: { readonly id: string; readonly entry: Entry; readonly kind: RecordCall['kind'] },
  ): ExpectedRecord | null {
    const { expectation } = this.#options;
    if (!expectation.bulk.has(lsn)) {
      const expected = expectation.shards.get(shard)?.get(key);
      return expected?.lsn === lsn ? expected : null;
    }
    if (!expectation.bulk.isLast(shard, id, lsn)) return null;
    // An update passes over missing records.
    const present = kind === 'update' ? null : kind !== 'delete';
    return { id, lsn, present, document: true, embedding: true };
  }

  async #batch(shard: string, key: string, record: CheckedRecord): Promise<void> {
    const isDeleted = record.present === false;
    const name = `${shard} ${isDeleted}`;
    const batch = this.#batches.get(name) ?? {
      shard,
      records: new Map<string, CheckedRecord>(),
      characters: 0,
    };
    this.#batches.set(name, batch);
    batch.records.set(key, record);
    batch.characters += record.id.length;
    const idsMax = isDeleted ? DELETED_IDS_PER_READ : IDS_PER_READ;
    if (batch.records.size >= idsMax || batch.characters >= ID_CHARACTERS_PER_READ) await this.#check(name);
  }

  async #check(name: string): Promise<void> {
    const { shard, records } = this.#batches.get(name) as Batch;
    this.#batches.delete(name);
    const target = this.#options.assigned.get(shard);
    if (target === undefined || this.#found.has(shard)) return;
    while (records.size > 0) {
      const fault = await recordFault(this.#options.read, target, records);
      if (fault === null) return;
      const record = fault.key === null ? undefined : records.get(fault.key);
      if (record === undefined || !(await this.#isRepeated(record))) {
        this.#found.set(shard, fault.reason);
        return;
      }
      // An id that repeats within one call is rare, and which of its contents counts is known only from all of it.
      records.delete(fault.key as string);
    }
  }

  async #isRepeated({ id, lsn }: CheckedRecord): Promise<boolean> {
    const entry = await this.#options.entryAt(lsn);
    const operation = entry === null ? null : toOperation(entry);
    return operation?.type === 'records' && (await repeatsId(operation.call.ids, id));
  }
}

/** Without the columns that a later entry may have replaced. */
function stillLast(sent: SentContent, { document, embedding }: ExpectedRecord): SentContent {
  return { document: document ? sent.document : null, embedding: embedding ? sent.embedding : null };
}

async function* changedPages(call: RecordCall, selected: SelectedIds | null): AsyncGenerator<ChangedPage> {
  if (call.conditional) {
    if (selected === null) return;
    for await (const ids of selected.pages()) yield { ids, content: new Map() };
    return;
  }
  for (const part of comparableParts(call, call.kind === 'delete' ? DELETED_IDS_PER_READ : IDS_PER_READ)) {
    yield { ids: part.ids, content: contentOf(part) };
    await nextTurn();
  }
}
