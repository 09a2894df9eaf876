// How large the documents of shards are, for estimates: replacing or deleting a document takes a server as long as writing
// it (docs/chroma-behaviour.md#replaced-documents), and the call does not contain what it replaces.

import { documentWork } from '../chroma/batch/split.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import type { AssignedShard } from './checkpoints.ts';
import { LruMap } from '../util/lru-map.ts';

interface Documents {
  records: number;
  bytes: number;
}

// Shards whose documents are known at a time: 100 bytes each.
const SHARDS_MAX = 4_096;
/** A sample counts as much as so many records: what is written later soon outweighs it. */
const SAMPLE_RECORDS = 512;

export class StoredDocuments {
  readonly #shards = new LruMap<string, Documents>({ weightMax: SHARDS_MAX });
  readonly #sample: (target: AssignedShard) => Promise<number>;

  /** `sample`: reads some documents of a shard on a node; their average size in bytes, 0 when none can be read. */
  constructor(sample: (target: AssignedShard) => Promise<number>) {
    this.#sample = sample;
  }

  /** Work of removing the documents of so many records; a shard that is not known yet is sampled. */
  async removalWork(shard: string, target: AssignedShard, records: number): Promise<number> {
    if (this.#shards.peek(shard) === null)
      this.#add(shard, SAMPLE_RECORDS, SAMPLE_RECORDS * (await this.#sample(target)));
    return documentWork(records * this.#bytesEach(shard));
  }

  /** The call writes these documents to the shard. */
  written(shard: string, { kind, ids, columns: { documents } }: RecordCall): void {
    if (kind === 'delete' || (kind === 'update' && documents === undefined)) return;
    this.#add(shard, ids.length, documents === undefined ? 0 : documents.end - documents.start);
  }

  /** Average bytes of a document of the shard; 0 when nothing is known. */
  #bytesEach(shard: string): number {
    const known = this.#shards.get(shard);
    return known === null || known.records === 0 ? 0 : known.bytes / known.records;
  }

  #add(shard: string, records: number, bytes: number): void {
    const known = this.#shards.get(shard) ?? { records: 0, bytes: 0 };
    this.#shards.set(shard, { records: known.records + records, bytes: known.bytes + bytes });
  }
}

/** Whether the call certainly, or possibly, removes documents that are stored. */
export function replacesDocuments({ kind, columns: { documents } }: RecordCall): 'yes' | 'maybe' | 'no' {
  if (kind === 'delete') return 'yes';
  if (documents === undefined) return 'no';
  return kind === 'update' ? 'yes' : kind === 'upsert' ? 'maybe' : 'no';
}
