// Entries of very many ids in a range of the log, and which of their ids no later entry of the range changed. Ids are not
// kept, only a slot of one byte that several may share: what is not certain is not compared.

import { crc32 } from 'node:zlib';

// One slot for each of the four million ids that a body of 40 MiB may hold, four times over: few of them share one.
const SLOTS = 1 << 24;
/** The slot's last change is none of these entries, or is unknown. */
const NONE = 0;
const ENTRIES_MAX = 255;

export class BulkChanges {
  #slots: Uint8Array | null = null;
  /** By LSN, the number that slots hold. */
  readonly #numbers = new Map<number, number>();
  #count = 0;

  /** Whether its ids are to be compared. */
  has(lsn: number): boolean {
    return this.#numbers.has(lsn);
  }

  /** An entry of very many ids, of which `changed` is called for each. */
  begin(lsn: number): void {
    this.#slots ??= new Uint8Array(SLOTS);
    // Beyond the maximum, which would take hours to apply, ids are not compared.
    if (this.#count < ENTRIES_MAX) this.#numbers.set(lsn, ++this.#count);
  }

  /** The entry at `lsn` changed the record; null: whatever holds for it is not up to these entries. */
  changed(shard: string, id: string, lsn: number | null): void {
    if (this.#slots === null) return;
    this.#slots[slotOf(shard, id)] = lsn === null ? NONE : (this.#numbers.get(lsn) ?? NONE);
  }

  /** Nothing is expected of what the entry changed. */
  forget(lsn: number): void {
    this.#numbers.delete(lsn);
  }

  /** Whether the entry is certainly the last one that changed the record. */
  isLast(shard: string, id: string, lsn: number): boolean {
    const number = this.#numbers.get(lsn);
    return number !== undefined && this.#slots?.[slotOf(shard, id)] === number;
  }
}

function slotOf(shard: string, id: string): number {
  return crc32(id, crc32(shard)) % SLOTS;
}
