// Gets by ids as a kind of read that can be coalesced.

import { splitGetResponse, mergeGetCalls, type GetCall } from '../chroma/batch/get-call.ts';
import type { HttpResponse } from '../http/response.ts';
import type { MergedRead, MergedResponse, ReadKind, ReadTarget, SingleRead } from './coalescer.ts';
import { readBuffered, recordsRead, type Reader } from './reader.ts';

// A first estimate for a row with a document and metadata, before any response.
const ROW_BYTES = 1_024;
// As text, a float takes about 12 bytes; a get does not know the dimension, and the largest in common use is 3,072.
const VECTOR_BYTES = 12 * 3_072;

export class Gets implements ReadKind<GetCall> {
  readonly #reader: Pick<Reader, 'read'>;
  // One sqlite statement with as many variables: far from its limit of 32,766.
  readonly unitsMax = 1_000;
  readonly keyOf = ({ key }: GetCall): string => key;
  readonly unitsOf = ({ ids }: GetCall): number => ids.length;
  readonly rowsOf = ({ ids }: GetCall): number => ids.length;
  readonly rowBytesOf = ({ withEmbeddings }: GetCall): number =>
    ROW_BYTES + (withEmbeddings ? VECTOR_BYTES : 0);

  constructor(reader: Pick<Reader, 'read'>) {
    this.#reader = reader;
  }

  readOne(
    { shard, collection }: ReadTarget,
    { call, floor, signal }: SingleRead<GetCall>,
  ): Promise<HttpResponse> {
    const read = recordsRead(collection, 'get', [call.body]);
    return this.#reader.read({ shard, floor, sticky: false }, read, signal);
  }

  async readMerged(
    { shard, collection }: ReadTarget,
    { calls, floor, onNodeFree }: MergedRead<GetCall>,
  ): Promise<MergedResponse | null> {
    const buffered = await readBuffered({
      reader: this.#reader,
      requirements: { shard, floor, sticky: false },
      read: recordsRead(collection, 'get', mergeGetCalls(calls)),
      client: null,
    });
    onNodeFree();
    if (buffered === null) return null;
    const bodies = splitGetResponse(buffered.body, calls);
    const { headers, applied } = buffered;
    return bodies === null ? null : { headers, applied, bodies };
  }
}
