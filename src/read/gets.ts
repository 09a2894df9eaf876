// Gets by id, as they are put together.

import { cutGetAnswer, mergeGetCalls, type GetCall } from '../chroma/batch/get-call.ts';
import type { HttpResponse } from '../http/response.ts';
import type { Asking, ReadTarget, Together } from './coalescer.ts';
import { readWhole, recordsRead, type Reader } from './reader.ts';

// A first guess for a row with a document and metadata, before an answer was seen.
const ROW_BYTES = 1_024;
// As text, a float takes about 12 bytes; a get does not know the dimension, and the largest in common use is 3,072.
const VECTOR_BYTES = 12 * 3_072;

export class Gets implements Asking<GetCall> {
  readonly #reader: Pick<Reader, 'read'>;
  // One statement of sqlite with as many variables: far from its limit of 32,766.
  readonly unitsMax = 1_000;
  readonly keyOf = ({ key }: GetCall): string => key;
  readonly unitsOf = ({ ids }: GetCall): number => ids.length;
  readonly rowsOf = ({ ids }: GetCall): number => ids.length;
  readonly rowBytesOf = ({ withEmbeddings }: GetCall): number =>
    ROW_BYTES + (withEmbeddings ? VECTOR_BYTES : 0);

  constructor(reader: Pick<Reader, 'read'>) {
    this.#reader = reader;
  }

  alone(
    { shard, collection }: ReadTarget,
    floor: number,
    { body }: GetCall,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    return this.#reader.read({ shard, floor, sticky: false }, recordsRead(collection, 'get', [body]), signal);
  }

  async together(
    { shard, collection }: ReadTarget,
    floor: number,
    calls: readonly GetCall[],
    answered: () => void,
  ): Promise<Together | null> {
    const read = recordsRead(collection, 'get', mergeGetCalls(calls));
    const whole = await readWhole(this.#reader, { shard, floor, sticky: false }, read);
    answered();
    const bodies = whole === null ? null : cutGetAnswer(whole.body, calls);
    return whole === null || bodies === null ? null : { headers: whole.headers, bodies };
  }
}
