// Compares the records that a range of the log changed with those of a node, in pages.

import type { RecordCall } from '../chroma/parse/record-call.ts';
import { repeatsId } from '../chroma/parse/record-ids.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { nextTurn } from '../util/next-turn.ts';
import type { Expectation, ExpectedRecord, SelectedIds } from './expectation.ts';
import {
  columnContent,
  comparableParts,
  hasContent,
  type ReadContent,
  type SentContent,
} from './record-content.ts';
import {
  olderContent,
  recordFault,
  type CheckedRecord,
  type ReadNode,
  type UncertainRecords,
} from './shard-check.ts';

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
  /** By shard. */
  readonly #lastLater = new Map<string, number>();

  constructor(options: RecordFaultsOptions) {
    this.#options = options;
  }

  /**
   * LSN of the last entry that may be applied and that records of the shard may show: what they lack of earlier entries is
   * not known before it is. 0: there is none.
   */
  lastLater(shard: string): number {
    return this.#lastLater.get(shard) ?? 0;
  }

  /** Compares the records, or columns of them, of which `entry` is the last change. `selected`: the ids of a conditional delete. */
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
        const sent = content.get(key) ?? NOTHING_SENT;
        const isDeleted = call.kind === 'delete';
        const from = isDeleted ? null : contentFrom(sent, expected, entry.lsn);
        await this.#batch(shard, key, { ...expected, content: from });
      }
    }
  }

  /** By shard, the first record that differs. */
  async finish(): Promise<Map<string, string>> {
    for (const name of this.#batches.keys()) await this.#check(name);
    return this.#found;
  }

  /** Null when a later entry changed the record and all that this one contains, or may have. */
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
      if (expected === undefined) return null;
      return [expected.lsn, expected.document, expected.embedding].includes(lsn) ? expected : null;
    }
    if (!expectation.bulk.isLast(shard, id, lsn)) return null;
    // An update passes over missing records.
    const present = kind === 'update' ? null : kind !== 'delete';
    const source = kind === 'upsert' || kind === 'update' ? lsn : null;
    return { id, lsn, document: source, embedding: source, present, later: [], lastLater: null };
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
    batch.records.set(key, together(batch.records.get(key)?.content ?? null, record));
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
      const uncertain: UncertainRecords = { changed: new Map(), lastLater: this.lastLater(shard) };
      const fault = await recordFault(this.#options.read, target, records, uncertain);
      if (fault === null) {
        this.#lastLater.set(shard, uncertain.lastLater);
        const lost = await this.#unexplained(records, uncertain.changed);
        if (lost !== null) this.#found.set(shard, olderContent(lost));
        return;
      }
      const record = fault.key === null ? undefined : records.get(fault.key);
      if (record === undefined || !(await this.#isAnyRepeated(record))) {
        this.#found.set(shard, fault.reason);
        return;
      }
      // An id that repeats within one call is rare, and which of its contents counts is known only from all of it.
      records.delete(fault.key as string);
    }
  }

  /**
   * The first record that is neither as its last certain entry left it nor as an entry that may be applied would have: a
   * node loses the end of what it had applied, so it holds content from before. Null when there is none.
   */
  async #unexplained(
    records: ReadonlyMap<string, CheckedRecord>,
    changed: ReadonlyMap<string, ReadContent>,
  ): Promise<CheckedRecord | null> {
    const differing = new Map<string, DifferingColumns>();
    const lsns = new Set<number>();
    for (const [key, stored] of changed) {
      const record = records.get(key) as CheckedRecord;
      differing.set(key, differingColumns(record, stored));
      for (const lsn of record.later ?? []) lsns.add(lsn);
    }
    for (const lsn of lsns) {
      const call = await this.#recordCall(lsn);
      if (call === null) continue;
      for (const part of comparableParts(call, IDS_PER_READ)) {
        for (const [key, sent] of columnContent(part)) explain(differing.get(key), sent);
        await nextTurn();
      }
    }
    for (const [key, { document, embedding }] of differing) {
      const record = records.get(key) as CheckedRecord;
      if ((document || embedding) && !(await this.#isAnyRepeated(record))) return record;
    }
    return null;
  }

  async #isAnyRepeated({ id, lsn, document, embedding, later }: CheckedRecord): Promise<boolean> {
    for (const each of new Set([lsn, document ?? lsn, embedding ?? lsn, ...(later ?? [])]))
      if (await this.#isRepeated(id, each)) return true;
    return false;
  }

  async #isRepeated(id: string, lsn: number): Promise<boolean> {
    const call = await this.#recordCall(lsn);
    return call !== null && (await repeatsId(call.ids, id));
  }

  async #recordCall(lsn: number): Promise<RecordCall | null> {
    const entry = await this.#options.entryAt(lsn);
    const operation = entry === null ? null : toOperation(entry);
    return operation?.type === 'records' ? operation.call : null;
  }
}

const NOTHING_SENT: SentContent = { document: null, embedding: null };

/** What the record has from the entry at `lsn`. */
function contentFrom(sent: SentContent, { document, embedding }: ExpectedRecord, lsn: number): SentContent {
  return {
    document: document === lsn ? sent.document : null,
    embedding: embedding === lsn ? sent.embedding : null,
  };
}

/** Columns may be from several entries. */
function together(other: SentContent | null, record: CheckedRecord): CheckedRecord {
  const { content } = record;
  if (other === null || content === null) return record;
  const document = content.document ?? other.document;
  return { ...record, content: { document, embedding: content.embedding ?? other.embedding } };
}

/** Which columns of a stored record no entry explains so far. */
interface DifferingColumns {
  readonly stored: ReadContent;
  document: boolean;
  embedding: boolean;
}

function differingColumns({ content, present }: CheckedRecord, stored: ReadContent): DifferingColumns {
  // After a deletion, a record that is there again was written whole.
  if (content === null) return { stored, document: stored.document !== null, embedding: true };
  const { document, embedding } = content;
  return {
    stored,
    // It may have been deleted, and written again without one.
    document:
      !hasContent({ document, embedding: null }, stored) && !(present === null && stored.document === null),
    embedding: !hasContent({ document: null, embedding }, stored),
  };
}

/** Each column may come from another entry: an update leaves those that it does not contain. */
function explain(differing: DifferingColumns | undefined, { document, embedding }: SentContent): void {
  if (differing === undefined) return;
  const { stored } = differing;
  if (document !== null && hasContent({ document, embedding: null }, stored)) differing.document = false;
  if (embedding !== null && hasContent({ document: null, embedding }, stored)) differing.embedding = false;
}

async function* changedPages(call: RecordCall, selected: SelectedIds | null): AsyncGenerator<ChangedPage> {
  if (call.conditional) {
    if (selected === null) return;
    for await (const ids of selected.pages()) yield { ids, content: new Map() };
    return;
  }
  const isDelete = call.kind === 'delete';
  for (const part of comparableParts(call, isDelete ? DELETED_IDS_PER_READ : IDS_PER_READ)) {
    yield { ids: part.ids, content: isDelete ? new Map() : columnContent(part) };
    await nextTurn();
  }
}
