// What a node's content shows of an entry that an earlier leader may have sent to it.

import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { CopyUnreadable, readPages, type ContentPage, type ReadCopy } from './copy-content.ts';
import { hasEverythingOf, sentRecords, type SentRecord } from './log-content.ts';

/** What a copy shows of an entry; `unknown`: the node does not show its content. */
type Shown = 'none' | 'whole' | 'unknown';

const DEADLINE_MS = 30_000;

/**
 * `whole`: the copy has everything that the entry stores. `none`: it lacks something of it, or the entry had no effect on
 * it, so that nothing is lost if the entry ends.
 */
export async function traceOf(client: NodeClient, shard: AssignedShard, entry: Entry): Promise<Shown> {
  const operation = toOperation(entry);
  if (operation.type !== 'records' || operation.call.conditional) return 'unknown';
  const { call } = operation;
  const read: ReadCopy = (request) => client.read({ ...request, deadlineMs: DEADLINE_MS });
  const records = sentRecords(call);
  // The last occurrence of an id counts.
  const sent = new Map(call.ids.map((id, index) => [mapKey(id), (): SentRecord => records(index)]));
  let trace: Shown = 'none';
  try {
    for await (const page of readPages(read, shard, [...new Set(call.ids)])) {
      const shown = pageTrace(call.kind, page, (id) => sent.get(mapKey(id))!());
      if (shown === 'none') return 'none';
      if (shown === 'whole') trace = 'whole';
    }
    return trace;
  } catch (error) {
    if (error instanceof NodeError || error instanceof CopyUnreadable) return 'unknown';
    throw error;
  }
}

/** `no_effect`: the call left every record of the page as it was, if the node executed it. */
function pageTrace(
  kind: RecordCall['kind'],
  { ids, records }: ContentPage,
  sent: (id: string) => SentRecord,
): 'none' | 'whole' | 'no_effect' {
  if (kind === 'delete') return records.length === 0 ? 'whole' : 'none';
  // An update passes over missing records.
  if (kind !== 'update' && records.length < ids.length) return 'none';
  const matching = records.filter((record) => hasEverythingOf(sent(record.id), record)).length;
  // An add passes over records that exist.
  if (kind !== 'add' && matching < records.length) return 'none';
  return matching === 0 ? 'no_effect' : 'whole';
}
