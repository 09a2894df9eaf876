// Removes from a get, query or delete what only clients of Chroma before 0.6 send and servers of today refuse: empty
// filters, and "data" among the contents to include.

import {
  ARRAY_OPEN,
  COMMA,
  JsonCursor,
  JsonSyntaxError,
  LETTER_N,
  OBJECT_CLOSE,
  OBJECT_OPEN,
  type Slice,
} from './json.ts';

/** What a request selects records by, once its empty filters are removed. */
export interface OlderSelection {
  /** The array `ids`; null when it is absent or null. */
  readonly ids: Slice | null;
  /** Whether a filter is left. */
  readonly isFiltered: boolean;
}

/** A member of an object or an element of an array. */
interface Item extends Slice {
  readonly isRemoved: boolean;
  /** Position of the comma after it; -1 after the last. */
  readonly comma: number;
}

const SPACE = 0x20;

/**
 * Overwrites these parts of `body` with spaces, so that no byte moves and all others stay as the client sent them (I11). A
 * body that is no JSON object stays as it is: null. Removing an empty filter never selects more records: one matches every
 * record, and servers select nothing by a delete without ids and filters.
 */
export function removeOlderParts(body: Buffer): OlderSelection | null {
  const reader = new OlderReader(body);
  try {
    if (!reader.read()) return null;
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    return null;
  }
  for (const { start, end } of reader.removed) body.fill(SPACE, start, end);
  return { ids: reader.ids, isFiltered: reader.isFiltered };
}

class OlderReader {
  readonly #cursor: JsonCursor;
  readonly removed: Slice[] = [];
  ids: Slice | null = null;
  isFiltered = false;

  constructor(body: Buffer) {
    this.#cursor = new JsonCursor(body);
  }

  /** False: the body is no object. */
  read(): boolean {
    const cursor = this.#cursor;
    if (cursor.peek() !== OBJECT_OPEN) return false;
    if (!cursor.openObject()) return true;
    const members: Item[] = [];
    do {
      cursor.peek();
      const start = cursor.pos;
      const name = cursor.decoded(cursor.name(true));
      cursor.colon();
      const isRemoved = this.#member(name);
      members.push({ start, end: cursor.pos, isRemoved, comma: this.#comma() });
    } while (cursor.nextMember());
    cursor.end();
    this.#remove(members);
    return true;
  }

  /** Consumes the value of a member; returns whether to remove the member. */
  #member(name: string): boolean {
    const cursor = this.#cursor;
    const first = cursor.peek();
    if (name === 'include' && first === ARRAY_OPEN) {
      this.#include();
      return false;
    }
    const start = cursor.pos;
    cursor.value(false, 1);
    if (first === LETTER_N) return false;
    if (name === 'ids') this.ids = { start, end: cursor.pos };
    if (name !== 'where' && name !== 'where_document') return false;
    const isEmpty = first === OBJECT_OPEN && this.#isEmptyObject(start);
    if (!isEmpty) this.isFiltered = true;
    return isEmpty;
  }

  #include(): void {
    const cursor = this.#cursor;
    if (!cursor.openArray()) return;
    const elements: Item[] = [];
    do {
      cursor.peek();
      const start = cursor.pos;
      cursor.value(false, 2);
      const isRemoved = cursor.bytes.toString('latin1', start, cursor.pos) === '"data"';
      elements.push({ start, end: cursor.pos, isRemoved, comma: this.#comma() });
    } while (cursor.nextElement());
    this.#remove(elements);
  }

  #isEmptyObject(start: number): boolean {
    const inner = new JsonCursor(this.#cursor.bytes);
    inner.pos = start + 1;
    return inner.peek() === OBJECT_CLOSE;
  }

  #comma(): number {
    return this.#cursor.peek() === COMMA ? this.#cursor.pos : -1;
  }

  // The comma before a removed item goes with it; at the beginning, the one after it.
  #remove(items: readonly Item[]): void {
    let commaBefore = -1;
    for (const { start, end, isRemoved, comma } of items) {
      if (!isRemoved) {
        commaBefore = comma;
        continue;
      }
      const orphan = commaBefore >= 0 ? commaBefore : comma;
      this.removed.push({ start, end });
      if (orphan >= 0) this.removed.push({ start: orphan, end: orphan + 1 });
      if (commaBefore >= 0) commaBefore = comma;
    }
  }
}
