// What a node's content shows of an entry that an earlier leader may have sent to it.

import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { repeatsId } from '../chroma/parse/record-ids.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { nextTurn } from '../util/next-turn.ts';
import { CopyUnreadable, readPages, type ContentPage, type ReadCopy } from './copy-content.ts';
import { hasEverythingOf, sentRecords, type SentRecord } from './log-content.ts';
import { comparableParts } from './record-content.ts';

/** What a copy shows of an entry; `unknown`: the node does not show its content. */
type Shown = 'none' | 'whole' | 'unknown';

const DEADLINE_MS = 30_000;
const RECORDS_PER_PART = 2_000;

/**
 * `whole`: the copy has everything that the entry stores. `none`: it lacks something of it, or the entry had no effect on
 * it, so that nothing is lost if the entry ends.
 */
export async function traceOf(client: NodeClient, shard: AssignedShard, entry: Entry): Promise<Shown> {
  const operation = toOperation(entry);
  if (operation.type !== 'records' || operation.call.conditional) return 'unknown';
  const { call } = operation;
  const read: ReadCopy = (request) => client.read({ ...request, deadlineMs: DEADLINE_MS });
  let trace: Shown = 'none';
  try {
    for (const part of comparableParts(call, RECORDS_PER_PART)) {
      const records = sentRecords(part);
      // The last occurrence of an id counts.
      const sent = new Map([...part.ids].map((id, index) => [mapKey(id), (): SentRecord => records(index)]));
      for await (const page of readPages(read, shard, [...new Set(part.ids)])) {
        const shown = await pageTrace(call, page, (id) => sent.get(mapKey(id))!());
        if (shown === 'none') return 'none';
        if (shown === 'whole') trace = 'whole';
      }
      await nextTurn();
    }
    return trace;
  } catch (error) {
    if (error instanceof NodeError || error instanceof CopyUnreadable) return 'unknown';
    throw error;
  }
}

/** `no_effect`: the call left every record of the page as it was, if the node executed it. */
async function pageTrace(
  { kind, ids: allIds }: RecordCall,
  { ids, records }: ContentPage,
  sent: (id: string) => SentRecord,
): Promise<'none' | 'whole' | 'no_effect'> {
  if (kind === 'delete') return records.length === 0 ? 'whole' : 'none';
  // An update passes over missing records.
  if (kind !== 'update' && records.length < ids.length) return 'none';
  const differing = records.filter((record) => !hasEverythingOf(sent(record.id), record));
  // An add passes over records that exist. An id that repeats has the content of its last occurrence, perhaps in another part.
  if (kind !== 'add') for (const { id } of differing) if (!(await repeatsId(allIds, id))) return 'none';
  return differing.length === records.length ? 'no_effect' : 'whole';
}
