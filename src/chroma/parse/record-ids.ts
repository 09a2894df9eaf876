// The ids of a record call. Up to some thousand are an array; more are decoded from the body whenever they are needed, in
// pages: millions of strings would take hundreds of MB, and seconds of the event loop.

import { nextTurn } from '../../util/next-turn.ts';
import { JsonCursor, type Slice } from './json.ts';

/** Ids without JSON escapes, in the order sent; may repeat. Use `idPages` to go through those of an unknown call. */
export interface RecordIds extends Iterable<string> {
  readonly length: number;
}

/** Whether they are an array. */
export function isListed(ids: RecordIds): ids is readonly string[] {
  return Array.isArray(ids);
}

/** Ids of one call that are kept as an array, at most; passing so many from one thread to another takes about 5 ms. */
export const LISTED_IDS_MAX = 16_384;

// One page takes about 2 ms to decode.
const PAGE_IDS = 4_096;
const PAGE_CHARACTERS = 512 * 1024;

/** The ids in `slice`, the text between the brackets of a valid array of `length` strings. */
export class EncodedIds implements RecordIds {
  readonly #body: Buffer;
  readonly #slice: Slice;
  readonly length: number;

  constructor(body: Buffer, slice: Slice, length: number) {
    this.#body = body;
    this.#slice = slice;
    this.length = length;
  }

  *[Symbol.iterator](): Generator<string, void, void> {
    const cursor = new JsonCursor(this.#body);
    cursor.pos = this.#slice.start;
    for (let count = 0; count < this.length; count++) {
      cursor.peek();
      const start = cursor.pos;
      cursor.string(false);
      yield cursor.decoded(start);
      cursor.peek();
      cursor.pos += ','.length;
    }
  }
}

/** All ids in pages of at most `pageMax`, with a turn of the event loop after each. */
export async function* idPages(
  ids: RecordIds,
  pageMax: number = PAGE_IDS,
): AsyncGenerator<readonly string[]> {
  let page: string[] = [];
  let characters = 0;
  for (const id of ids) {
    page.push(id);
    characters += id.length;
    if (page.length < pageMax && characters < PAGE_CHARACTERS) continue;
    yield page;
    page = [];
    characters = 0;
    await nextTurn();
  }
  if (page.length > 0) yield page;
}

/** Whether the id occurs more than once. */
export async function repeatsId(ids: RecordIds, id: string): Promise<boolean> {
  let count = 0;
  for await (const page of idPages(ids)) {
    for (const each of page) if (each === id) count += 1;
    if (count > 1) return true;
  }
  return false;
}
