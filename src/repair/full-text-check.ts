// Checks whether filters by document select what the documents of a copy say. A server evaluates them on a second store of
// the texts, which may be damaged while every other read is right (docs/chroma-behaviour.md#damaged-files).

import {
  getRecordsRequest,
  type DocumentClause,
  type RecordSelection,
} from '../chroma/protocol/node-requests.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { Clock } from '../util/clock.ts';
import { mapKey } from '../util/map-key.ts';
import { eachInTurns } from '../util/next-turn.ts';
import type { ComparedCopy } from './copy-comparison.ts';
import { bodyOf, CopyUnreadable, idsIn, isTooLarge } from './copy-content.ts';

/** A record that a filter by document selects, or leaves out, against its document. */
export interface FullTextFault {
  /** Null when the node fails to evaluate the filter. */
  readonly id: string | null;
  readonly reason: string;
}

/** Limits the time that nodes spend on filters: each is a scan of the texts of all collections of a node. */
export interface ScanBudget {
  /** `isEssential`: the scans that show most. */
  allows(node: string, isEssential: boolean): boolean;
  /** Called after each scan; may rest. */
  spend(node: string, ms: number): Promise<void>;
}

export const UNLIMITED: ScanBudget = { allows: () => true, spend: () => Promise.resolve() };

interface Scan {
  readonly filter: DocumentClause;
  readonly isEssential: boolean;
  /** Undefined: all records of the copy. */
  readonly ids?: readonly string[];
}

interface ReadDocument {
  readonly id: string;
  readonly document: string | null;
}

// Some 400,000 ids of 36 characters.
const SELECTION_BYTES_MAX = 16 * 1024 * 1024;
const DOCUMENTS_BYTES_MAX = 16 * 1024 * 1024;
const DOCUMENTS_PER_READ = 32;
// Records without a document have no text there either; of a collection of such records, so many are looked at.
const WITHOUT_TEXT_MAX = 256;
const DIFFERENT_MAX = 64;
const FAULTS_MAX = 8;
// Each is a scan that shows one bit of every record.
const TEXTS_MAX = 8;
const WORDS_MAX = 200;
const WORD_LENGTH_MAX = 20;
const CHARACTERS_MAX = 1_000;
// sqlite refuses patterns of more than 50,000 bytes; a character takes at most three, or two when it is escaped.
const TEXT_LENGTH_MAX = 10_000;

/**
 * Faults by node. Compares what filters select on the copies, and checks the records of `sample` and those whose
 * selection differs. What is too large, or takes too long, is not checked. Throws NodeError.
 */
export function fullTextFaults(
  copies: readonly ComparedCopy[],
  sample: readonly string[],
  { budget, clock }: { readonly budget: ScanBudget; readonly clock: Clock },
): Promise<ReadonlyMap<string, readonly FullTextFault[]>> {
  return new FullTextCheck(copies, budget, clock).run(sample);
}

class FullTextCheck {
  readonly #copies: readonly ComparedCopy[];
  readonly #budget: ScanBudget;
  readonly #clock: Clock;
  readonly #faults = new Map<string, FullTextFault[]>();
  /** By node and id: what was read. */
  readonly #known = new Map<string, Map<string, ReadDocument>>();

  constructor(copies: readonly ComparedCopy[], budget: ScanBudget, clock: Clock) {
    this.#copies = copies;
    this.#budget = budget;
    this.#clock = clock;
  }

  async run(sample: readonly string[]): Promise<ReadonlyMap<string, readonly FullTextFault[]>> {
    const noText = { filter: { $not_contains: '' }, isEssential: true };
    await this.#records(noText, (document) => document === null, { selectedMax: WITHOUT_TEXT_MAX });
    const [reference] = this.#copies;
    if (reference === undefined || !this.#budget.allows(reference.node, false)) return this.#faults;
    const documents = await this.#documents(reference, sample);
    const texts = distinguishingTexts(documents.map(({ document }) => document ?? ''));
    // Without another copy to compare with, each says something of the sample alone.
    for (const text of this.#copies.length > 1 ? texts : texts.slice(0, 1)) {
      const scan = { filter: { $contains: text }, isEssential: false };
      await this.#records(scan, (document) => document?.includes(text) === true, { also: sample });
    }
    for (const copy of this.#copies) await this.#ownTexts(copy, sample);
    return this.#faults;
  }

  /** Checks records that the filter selects on some copies only, `selectedMax` others that it selects, and `also`. */
  async #records(
    scan: Scan,
    isExpected: (document: string | null) => boolean,
    { selectedMax = 0, also = [] }: { readonly selectedMax?: number; readonly also?: readonly string[] },
  ): Promise<void> {
    const selections = new Map<string, readonly string[]>();
    for (const copy of this.#copies) {
      const ids = await this.#select(copy, scan);
      if (ids !== null) selections.set(copy.node, ids);
    }
    const different = await differing([...selections.values()], DIFFERENT_MAX);
    for (const copy of this.#copies) {
      const ids = selections.get(copy.node);
      if (ids === undefined) continue;
      const selected = await keysOf(ids);
      const looked = [...different, ...spaced(ids, selectedMax), ...also];
      for (const { id, document } of await this.#documents(copy, looked))
        if (isExpected(document) !== selected.has(mapKey(id))) this.#add(copy, id);
    }
  }

  /** Checks that each record is selected by its own document. */
  async #ownTexts(copy: ComparedCopy, sample: readonly string[]): Promise<void> {
    for (const { id, document } of await this.#documents(copy, sample)) {
      if (document === null || document === '') continue;
      const filter = { $contains: beginningOf(document) };
      const ids = await this.#select(copy, { filter, isEssential: false, ids: [id] });
      if (ids?.length === 0) this.#add(copy, id);
    }
  }

  #add({ node }: ComparedCopy, id: string | null, why?: string): void {
    const known = this.#faults.get(node) ?? [];
    if (known.length >= FAULTS_MAX || known.some((fault) => fault.id === id)) return;
    const name = id !== null && id.length > 100 ? `${id.slice(0, 100)}…` : id;
    const reason = why ?? `filters by document do not see the document of record "${name}"`;
    this.#faults.set(node, [...known, { id, reason }]);
  }

  /** Null when nothing can be said, or the node may not be asked. */
  async #select(copy: ComparedCopy, { filter, isEssential, ids }: Scan): Promise<readonly string[] | null> {
    if (!this.#budget.allows(copy.node, isEssential)) return null;
    const startedMs = this.#clock.monotonic();
    const selection = { ...(ids === undefined ? {} : { ids }), where_document: filter, include: [] };
    const found = await this.#read(copy, selection, SELECTION_BYTES_MAX);
    await this.#budget.spend(copy.node, this.#clock.monotonic() - startedMs);
    return found === null ? null : idsIn(found);
  }

  /** Those of the records that are there. Documents that are too large are left out. */
  async #documents(copy: ComparedCopy, ids: readonly string[]): Promise<readonly ReadDocument[]> {
    const known = this.#known.get(copy.node) ?? new Map<string, ReadDocument>();
    this.#known.set(copy.node, known);
    const asked = new Map(ids.map((id) => [mapKey(id), id]));
    const unknown = [...asked].filter(([key]) => !known.has(key)).map(([, id]) => id);
    const waiting: string[][] = [];
    for (let from = 0; from < unknown.length; from += DOCUMENTS_PER_READ)
      waiting.push(unknown.slice(from, from + DOCUMENTS_PER_READ));
    for (let page = waiting.shift(); page !== undefined; page = waiting.shift()) {
      const body = await this.#read(copy, { ids: page, include: ['documents'] }, DOCUMENTS_BYTES_MAX);
      const middle = Math.ceil(page.length / 2);
      if (body !== null) for (const read of documentsIn(body)) known.set(mapKey(read.id), read);
      else if (page.length > 1) waiting.unshift(page.slice(0, middle), page.slice(middle));
    }
    return [...asked.keys()].flatMap((key) => known.get(key) ?? []);
  }

  /** Null when the response is too large, comes too late, or is an error: then it is a fault. */
  async #read(
    copy: ComparedCopy,
    selection: RecordSelection,
    responseBytesMax: number,
  ): Promise<Buffer | null> {
    try {
      return bodyOf(await copy.read({ ...getRecordsRequest(copy.location, selection), responseBytesMax }));
    } catch (error) {
      if (isTooLarge(error) || (error instanceof NodeError && error.code === 'timeout')) return null;
      if (!(error instanceof CopyUnreadable)) throw error;
      this.#add(copy, null, `filters by document fail: ${error.message}`);
      return null;
    }
  }
}

function documentsIn(body: Buffer): ReadDocument[] {
  const { ids, documents } = JSON.parse(body.toString()) as { ids: string[]; documents: (string | null)[] };
  return ids.map((id, index) => ({ id, document: seenByFilters(documents[index] ?? null) }));
}

/** A text ends at its first NUL for sqlite's LIKE (docs/chroma-behaviour.md#damaged-files). */
const seenByFilters = (document: string | null): string | null => document?.split('\0', 1)[0] ?? null;

/** A word that all documents contain, and texts that about half of them contain, no two the same half. */
export function distinguishingTexts(documents: readonly string[]): string[] {
  const places = new Map<string, number[]>();
  for (const [index, document] of documents.entries())
    for (const text of piecesOf(document)) places.set(text, [...(places.get(text) ?? []), index]);
  const distance = ({ length }: readonly number[]): number => Math.abs(2 * length - documents.length);
  const common = [...places].filter(([, { length }]) => length === documents.length).map(([text]) => text);
  const [longest] = common.sort((a, b) => b.length - a.length);
  const chosen = new Map<string, string>();
  if (longest !== undefined) chosen.set(String(places.get(longest)), longest);
  for (const [text, at] of [...places].sort(([, a], [, b]) => distance(a) - distance(b)))
    if (chosen.size < TEXTS_MAX && !chosen.has(String(at))) chosen.set(String(at), text);
  return [...chosen.values()];
}

function piecesOf(document: string): Set<string> {
  const start = document.slice(0, WORDS_MAX * WORD_LENGTH_MAX);
  const words = start.split(/[^\p{L}\p{N}]+/u).slice(0, WORDS_MAX);
  const characters = start.slice(0, CHARACTERS_MAX).match(/[\p{L}\p{N}]/gu) ?? [];
  return new Set([...words.filter(({ length }) => length > 0 && length <= WORD_LENGTH_MAX), ...characters]);
}

/** A part that a pattern may have, whole characters only. */
function beginningOf(document: string): string {
  const start = document.slice(0, TEXT_LENGTH_MAX);
  return /[\ud800-\udbff]$/.test(start) ? start.slice(0, -1) : start;
}

/** Ids that some of the lists have and others have not. */
async function differing(lists: readonly (readonly string[])[], max: number): Promise<string[]> {
  const [first = []] = lists;
  if (lists.every((list) => list.length === first.length && list.every((id, index) => id === first[index])))
    return [];
  const counts = new Map<string, { readonly id: string; count: number }>();
  for (const list of lists)
    await eachInTurns(list, (id) => {
      const known = counts.get(mapKey(id));
      if (known === undefined) counts.set(mapKey(id), { id, count: 1 });
      else known.count += 1;
    });
  const found: string[] = [];
  for (const { id, count } of counts.values()) if (count < lists.length && found.length < max) found.push(id);
  return found;
}

async function keysOf(ids: readonly string[]): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  await eachInTurns(ids, (id) => void keys.add(mapKey(id)));
  return keys;
}

/** At most `max` of the ids, evenly spaced. */
function spaced(ids: readonly string[], max: number): string[] {
  const count = Math.min(ids.length, max);
  return Array.from({ length: count }, (_, index) => ids[Math.floor((index * ids.length) / count)] as string);
}
