// Which records of a shard the entries of a range of the log may have changed (R33).

import { TermOver } from '../coordination/term.ts';
import { idPages } from '../chroma/parse/record-ids.ts';
import type { Entry } from '../log/entry.ts';
import type { Decisions } from '../replication/decisions.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';

/** A range of the log: the entries after `after`, up to `upTo`. */
export interface TouchRange {
  readonly after: number;
  readonly upTo: number;
}

export interface TouchedIds {
  /** Whether an entry may have changed the record with this id. */
  has(id: string): boolean;
  /** Whether an entry may have changed any record. */
  readonly any: boolean;
}

export interface TouchedIdsSource {
  readonly log: { read(after: number, entriesMax: number, bytesMax: number): Promise<Entry[]> };
  readonly decisions: Pick<Decisions, 'find' | 'idPages'>;
}

const PAGE_ENTRIES = 512;
const PAGE_BYTES = 16 * 1024 * 1024;
// Some seconds of writes. A copy that lags further behind is compared once it has caught up.
const ENTRIES_MAX = 20_000;
// Some tens of MB. Beyond it, the records are compared again once fewer are being changed.
const IDS_MAX = 200_000;
const EVERYTHING: TouchedIds = { has: () => true, any: true };

/** Throws TermOver when `signal` aborts, and what reading the log throws. */
export async function touchedIds(
  { log, decisions }: TouchedIdsSource,
  shard: string,
  { after, upTo }: TouchRange,
  signal: AbortSignal,
): Promise<TouchedIds> {
  if (upTo - after > ENTRIES_MAX) return EVERYTHING;
  const touched = new Set<string>();
  for (let at = after; at < upTo;) {
    if (signal.aborted) throw new TermOver();
    const page = await log.read(at, Math.min(PAGE_ENTRIES, upTo - at), PAGE_BYTES);
    if (page.length === 0) break;
    for (const entry of page) {
      const operation = toOperation(entry);
      if (operation.type === 'records' && operation.shard === shard) {
        const { call } = operation;
        const pages = call.conditional ? await selected(decisions, entry.lsn) : idPages(call.ids);
        // Not decided yet, or not as ids: any record may be among them.
        if (pages === null) return EVERYTHING;
        for await (const ids of pages) {
          for (const id of ids) touched.add(mapKey(id));
          if (touched.size > IDS_MAX) return EVERYTHING;
        }
      } else if ('shards' in operation && operation.shards.includes(shard)) return EVERYTHING;
    }
    at = (page.at(-1) as Entry).lsn;
  }
  return { has: (id) => touched.has(mapKey(id)), any: touched.size > 0 };
}

async function selected(
  decisions: TouchedIdsSource['decisions'],
  lsn: number,
): Promise<AsyncIterable<readonly string[]> | null> {
  const decision = await decisions.find(lsn);
  return decision === null || decision.outcome !== 'accepted' ? null : decisions.idPages(decision);
}
