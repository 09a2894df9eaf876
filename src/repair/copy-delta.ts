// Which records of a shard the log has touched since a copy of it began: they are copied again (R23).

import type { RecordCall } from '../chroma/parse/record-call.ts';
import { idPages } from '../chroma/parse/record-ids.ts';
import { appliedRecords, type Decisions } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import type { Entry } from '../log/entry.ts';
import { mapKey } from '../util/map-key.ts';

/** The collection was modified, renamed or deleted since the copy began: the copy is begun again, or not needed. */
export class CopyOutdated extends Error {
  override readonly name = 'CopyOutdated';
}

export interface DeltaId {
  readonly id: string;
  /** It was deleted, and possibly added again: at another place in the order of records. */
  readonly wasDeleted: boolean;
}

/** By the map key of the id, in LSN order. */
export type DeltaIds = ReadonlyMap<string, DeltaId>;

export interface CopyDeltaOptions {
  readonly shard: string;
  readonly collection: string;
  readonly log: { read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> };
  readonly decisions: Pick<Decisions, 'find' | 'idPages' | 'exception'>;
  /** LSN after which entries count. */
  readonly after: number;
}

// A read of the log holds one page in memory.
const PAGE_ENTRIES = 512;
const PAGE_BYTES = 4 * 1024 * 1024;
// Beyond it, about 100 MB, beginning again costs less than copying what was changed.
const IDS_MAX = 500_000;

export class CopyDelta {
  readonly #options: CopyDeltaOptions;
  #position: number;

  constructor(options: CopyDeltaOptions) {
    this.#options = options;
    this.#position = options.after;
  }

  /** LSN up to which the log was read. */
  get position(): number {
    return this.#position;
  }

  /** The ids that entries up to `upTo` touched since the last call. Throws CopyOutdated, LogTrimmed, LogDamaged. */
  async read(upTo: number): Promise<DeltaIds> {
    const touched = new Map<string, DeltaId>();
    while (this.#position < upTo) {
      const entriesMax = Math.min(PAGE_ENTRIES, upTo - this.#position);
      const entries = await this.#options.log.read(this.#position, entriesMax, PAGE_BYTES);
      const last = entries.at(-1);
      if (last === undefined) break;
      for (const entry of entries) await this.#add(entry, touched);
      this.#position = last.lsn;
    }
    return touched;
  }

  async #add(entry: Entry, touched: Map<string, DeltaId>): Promise<void> {
    const { shard, collection } = this.#options;
    if (entry.target === collection) throw new CopyOutdated(`${entry.kind} at LSN ${entry.lsn}`);
    if (entry.target !== shard) return;

    const operation = toOperation(entry);
    if (operation.type !== 'records') return;
    const wasDeleted = operation.call.kind === 'delete';
    for await (const page of this.#idsOf(entry, operation.call)) {
      for (const id of page) {
        const key = mapKey(id);
        touched.set(key, { id, wasDeleted: wasDeleted || touched.get(key)?.wasDeleted === true });
      }
      if (touched.size > IDS_MAX) throw new CopyOutdated(`very many changes up to LSN ${entry.lsn}`);
    }
  }

  async *#idsOf({ lsn }: Entry, call: RecordCall): AsyncGenerator<readonly string[]> {
    const { decisions } = this.#options;
    if (call.conditional) {
      const decision = await decisions.find(lsn);
      if (decision?.outcome === 'accepted') yield* decisions.idPages(decision);
      return;
    }
    const exception = decisions.exception(lsn);
    let rest = exception?.outcome === 'partly_applied' ? appliedRecords(exception) : Infinity;
    for await (const page of idPages(call.ids)) {
      yield page.slice(0, rest);
      rest -= page.length;
      if (rest <= 0) return;
    }
  }
}

/** The ids of both. */
export function merged(a: DeltaIds, b: DeltaIds): DeltaIds {
  const all = new Map(a);
  for (const [key, { id, wasDeleted }] of b)
    all.set(key, { id, wasDeleted: wasDeleted || all.get(key)?.wasDeleted === true });
  return all;
}
