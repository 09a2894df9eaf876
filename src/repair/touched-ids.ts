// Which records of a shard the entries of a range of the log may have changed (R33).

import { TermOver } from '../coordination/term.ts';
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
        const ids = operation.call.conditional ? await selected(decisions, entry.lsn) : operation.call.ids;
        // Not decided yet, or not as ids: any record may be among them.
        if (ids === null) return EVERYTHING;
        for (const id of ids) touched.add(mapKey(id));
      } else if ('shards' in operation && operation.shards.includes(shard)) return EVERYTHING;
    }
    at = (page.at(-1) as Entry).lsn;
  }
  return { has: (id) => touched.has(mapKey(id)), any: touched.size > 0 };
}

async function selected(
  decisions: TouchedIdsSource['decisions'],
  lsn: number,
): Promise<readonly string[] | null> {
  const decision = await decisions.find(lsn);
  if (decision === null || decision.outcome !== 'accepted') return null;
  const ids: string[] = [];
  for await (const page of decisions.idPages(decision)) ids.push(...page);
  return ids;
}
