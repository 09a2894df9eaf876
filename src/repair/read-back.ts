// Reads back whether a quarantined entry, which failed on a node, had an effect there.

import type { NodeClient } from '../chroma/client/node-client.ts';
import { getRecordsRequest } from '../chroma/protocol/node-requests.ts';
import { type RecordOperation } from '../chroma/protocol/operation.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { columnContent, hasContent, type ReadRecords } from './record-content.ts';

const DEADLINE_MS = 30_000;
// Keeps responses with vectors small.
const IDS_PER_READ = 500;

/**
 * True when a record has the content of the entry, false when all records show that it was not applied, null when the
 * node cannot show either. Throws NodeError.
 */
export async function showsEffect(
  client: NodeClient,
  shard: AssignedShard,
  entry: Entry,
): Promise<boolean | null> {
  const operation = toOperation(entry);
  // A conditional delete does not contain the ids of its records.
  if (operation.type !== 'records' || operation.call.conditional) return null;
  const ids = [...new Map(operation.call.ids.map((id) => [mapKey(id), id])).values()];
  for (let from = 0; from < ids.length; from += IDS_PER_READ) {
    const page = ids.slice(from, from + IDS_PER_READ);
    const request = getRecordsRequest(shard, { ids: page, include: ['documents', 'embeddings'] });
    const response = await client.read({ ...request, deadlineMs: DEADLINE_MS });
    if (response.status !== 200) return null;
    const read = JSON.parse(response.body.toString()) as ReadRecords;
    const shown = pageShowsEffect(operation.call, page, read);
    if (shown !== false) return shown;
  }
  return false;
}

function pageShowsEffect(
  call: RecordOperation['call'],
  page: readonly string[],
  read: ReadRecords,
): boolean | null {
  // If all records are present, none was deleted. If some are missing, they may have been missing before.
  if (call.kind === 'delete') return read.ids.length === page.length ? false : null;
  const sent = columnContent(call);
  for (const [index, id] of read.ids.entries()) {
    const content = sent.get(mapKey(id));
    if (content === undefined || (content.document === null && content.embedding === null)) return null;
    if (hasContent(content, read, index)) return true;
  }
  return false;
}
