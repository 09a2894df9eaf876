// Reads back what an entry whose outcome on a node is unknown has left there.

import { NodeError } from '../chroma/client/node-error.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { getRecordsRequest } from '../chroma/protocol/node-requests.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import type { Entry } from '../log/entry.ts';
import type { AssignedShard } from '../replication/checkpoints.ts';
import { toOperation } from '../replication/entry-operation.ts';
import { mapKey } from '../util/map-key.ts';
import { nextTurn } from '../util/next-turn.ts';
import { columnContent, comparableParts, hasContent, type ReadRecords } from './record-content.ts';

const DEADLINE_MS = 30_000;
// Keeps responses with vectors small.
const IDS_PER_READ = 500;
const ATTEMPTS_MAX = 3;

/**
 * True when a record has the content of the entry, false when all records show that it was not applied, null when the
 * node cannot show either.
 */
export async function showsEffect(
  client: NodeClient,
  shard: AssignedShard,
  entry: Entry,
): Promise<boolean | null> {
  const operation = toOperation(entry);
  // A conditional delete does not contain the ids of its records.
  if (operation.type !== 'records' || operation.call.conditional) return null;
  for await (const { part, ids, read } of pages(client, shard, operation.call)) {
    if (read === null) return null;
    const shown = pageShowsEffect(part, ids, read);
    if (shown !== false) return shown;
  }
  return false;
}

interface ShownPage {
  readonly part: RecordCall;
  /** Ids of some records of the part. */
  readonly ids: readonly string[];
  /** Null when the node does not show them. */
  readonly read: ReadRecords | null;
}

/** The records of the call as the node shows them, in pages, until it does not show one. */
async function* pages(client: NodeClient, shard: AssignedShard, call: RecordCall): AsyncGenerator<ShownPage> {
  for (const part of comparableParts(call, IDS_PER_READ)) {
    for await (const page of partPages(client, shard, part)) {
      yield page;
      if (page.read === null) return;
    }
    await nextTurn();
  }
}

async function* partPages(
  client: NodeClient,
  shard: AssignedShard,
  part: RecordCall,
): AsyncGenerator<ShownPage> {
  const ids = [...new Map([...part.ids].map((id) => [mapKey(id), id])).values()];
  let size = IDS_PER_READ;
  for (let from = 0; from < ids.length;) {
    const page = ids.slice(from, from + size);
    const read = await readPage(client, shard, page);
    if (read === 'too_large' && size > 1) {
      size = Math.ceil(size / 2);
      continue;
    }
    yield { part, ids: page, read: read === 'too_large' ? null : read };
    if (read === null || read === 'too_large') return;
    from += page.length;
  }
}

/** Null when the node does not show the records, after some attempts. */
async function readPage(
  client: NodeClient,
  shard: AssignedShard,
  ids: readonly string[],
): Promise<ReadRecords | 'too_large' | null> {
  const request = getRecordsRequest(shard, { ids, include: ['documents', 'embeddings'] });
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await client.read({ ...request, deadlineMs: DEADLINE_MS });
      return response.status === 200 ? (JSON.parse(response.body.toString()) as ReadRecords) : null;
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      if (error.code === 'too_large') return 'too_large';
      if (attempt === ATTEMPTS_MAX) return null;
    }
  }
}

// Enough for the order of magnitude; its first records stand for a shard.
const SAMPLE_RECORDS = 16;
const SAMPLE_DEADLINE_MS = 5_000;

/** The average size of some documents of the shard, in bytes; 0 when there are none, or none can be read. */
export async function sampleDocuments(client: NodeClient, shard: AssignedShard): Promise<number> {
  const request = getRecordsRequest(shard, { limit: SAMPLE_RECORDS, include: ['documents'] });
  try {
    const response = await client.read({ ...request, deadlineMs: SAMPLE_DEADLINE_MS });
    if (response.status !== 200) return 0;
    const { ids, documents } = JSON.parse(response.body.toString()) as ReadRecords;
    return ids.length === 0 ? 0 : Buffer.byteLength(documents.join('')) / ids.length;
  } catch (error) {
    if (error instanceof NodeError) return 0;
    throw error;
  }
}

function pageShowsEffect(call: RecordCall, page: readonly string[], read: ReadRecords): boolean | null {
  // If all records are present, none was deleted. If some are missing, they may have been missing before.
  if (call.kind === 'delete') return read.ids.length === page.length ? false : null;
  const sent = columnContent(call);
  for (const [index, id] of read.ids.entries()) {
    const content = sent.get(mapKey(id));
    if (content === undefined || (content.document === null && content.embedding === null)) return null;
    const stored = { document: read.documents[index] ?? null, embedding: read.embeddings[index] ?? [] };
    if (hasContent(content, stored)) return true;
  }
  return false;
}
