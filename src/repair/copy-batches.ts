// Joins the records of a donor's pages into calls as large as a server takes well: fewer calls cost it less time.

import type { ContentPage, StoredRecord } from './copy-content.ts';

// Limits of one call, as for the writes of clients (src/replication/round.ts).
const RECORDS_MAX = 1_024;
const TEXT_BYTES_MAX = 1024 * 1024;
const BYTES_MAX = 4 * 1024 * 1024;

/** All records in their order. */
export async function* batchesOf(pages: AsyncIterable<ContentPage>): AsyncGenerator<StoredRecord[]> {
  let batch: StoredRecord[] = [];
  let text = 0;
  let bytes = 0;
  for await (const { records } of pages)
    for (const record of records) {
      const moreText = record.document.length + record.uri.length + record.metadata.length;
      const more = bytesOfRecord(record);
      const isFull =
        batch.length === RECORDS_MAX || text + moreText > TEXT_BYTES_MAX || bytes + more > BYTES_MAX;
      if (isFull && batch.length > 0) {
        yield batch;
        batch = [];
        text = bytes = 0;
      }
      batch.push(record);
      text += moreText;
      bytes += more;
    }
  if (batch.length > 0) yield batch;
}

export function bytesOfRecord({ id, embedding, document, uri, metadata }: StoredRecord): number {
  return id.length + embedding.length + document.length + uri.length + metadata.length;
}
