// Whether a node shows an effect of an entry that it failed and that was quarantined.

import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Entry } from '../log/entry.ts';
import { mapKey } from '../util/map-key.ts';
import { contentOf, sameVector } from './expectation.ts';
import type { HeldShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { type RecordOperation } from '../chroma/protocol/operation.ts';
import { getRecordsRequest } from '../chroma/protocol/node-requests.ts';

const DEADLINE_MS = 30_000;
const IDS_PER_READ = 500;

interface ReadRecords {
  readonly ids: string[];
  readonly documents: (string | null)[];
  readonly embeddings: number[][];
}

/** True when a record has the content that the entry brings; null when the node cannot say. Throws NodeError. */
export async function showsEffect(
  client: NodeClient,
  shard: HeldShard,
  entry: Entry,
): Promise<boolean | null> {
  const operation = toOperation(entry);
  // A conditional delete does not name its records: which of them are gone here cannot be read back.
  if (operation.type !== 'records' || operation.call.conditional) return null;
  const ids = [...new Map(operation.call.ids.map((id) => [mapKey(id), id])).values()];
  for (let from = 0; from < ids.length; from += IDS_PER_READ) {
    const shown = await showsPage(client, shard, operation, ids.slice(from, from + IDS_PER_READ));
    if (shown !== false) return shown;
  }
  return false;
}

async function showsPage(
  client: NodeClient,
  shard: HeldShard,
  operation: RecordOperation,
  ids: readonly string[],
): Promise<boolean | null> {
  const include = ['documents', 'embeddings'] as const;
  const request = getRecordsRequest(shard, { ids, include });
  const response = await client.read({ ...request, deadlineMs: DEADLINE_MS });
  if (response.status !== 200) return null;
  const read = JSON.parse(response.body.toString()) as ReadRecords;
  // Records that a delete names and that are all there were not deleted; others may have been missing before.
  if (operation.call.kind === 'delete') return read.ids.length === ids.length ? false : null;
  const sent = contentOf({ ...operation, call: { ...operation.call, kind: 'upsert' } });
  for (const [index, id] of read.ids.entries()) {
    const { document, embedding } = sent.get(mapKey(id)) ?? {};
    if (document === undefined && embedding === undefined) return null;
    const sameDocument = document === undefined || document === read.documents[index];
    const sameEmbedding = embedding === undefined || sameVector(embedding, read.embeddings[index] ?? []);
    if (sameDocument && sameEmbedding) return true;
  }
  return false;
}
