// Compares the copies of one shard on several nodes while they go on applying the log: all ids and their order, then the
// same pages of records from every node (R33).
//
// Nothing is held: a difference counts only when no entry touched its id between the lowest position of the nodes before
// the reads and the head of the log after them. What was touched is read again at the end.

import type { ShardLocation } from '../chroma/protocol/node-requests.ts';
import { TermOver } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { mapKey } from '../util/map-key.ts';
import { eachInTurns, nextTurn } from '../util/next-turn.ts';
import {
  CopyUnreadable,
  isTooLarge,
  PageSizes,
  readIds,
  readPage,
  type ReadCopy,
  type StoredRecord,
} from './copy-content.ts';
import { recordDifference, type DifferentField, type EmbeddingRule } from './record-difference.ts';
import type { TouchedIds, TouchRange } from './touched-ids.ts';

/** A copy that takes part in a comparison. */
export interface ComparedCopy {
  readonly node: string;
  readonly location: ShardLocation;
  readonly read: ReadCopy;
}

/** A difference between copies: the nodes in groups that agree, and what each group holds. */
export interface CopyDifference {
  /** Null when the order of the ids differs. */
  readonly id: string | null;
  readonly field: DifferentField | 'presence' | 'order';
  readonly groups: readonly CopyGroup[];
}

/** Nodes whose copies agree on a record. */
export interface CopyGroup {
  readonly nodes: readonly string[];
  /** Null when they do not have the record, and for a difference of order. */
  readonly record: StoredRecord | null;
}

export interface ComparisonResult {
  /** At most DIFFERENCES_MAX: the comparison ends there. */
  readonly differences: readonly CopyDifference[];
  /** Copies that their node cannot read although others can, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Ids of all copies. */
  readonly ids: readonly string[];
  /** Records that could not be compared: entries kept touching them, or no node can read them. */
  readonly uncompared: number;
}

export interface ComparisonOptions {
  readonly rule: EmbeddingRule;
  /** LSN up to which the node has applied everything of the shard. */
  readonly applied: (node: string) => number;
  readonly head: () => number;
  readonly touched: (range: TouchRange) => Promise<TouchedIds>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether clients come first: nodes are read one after the other, so that another one is free for them, in small pages. */
  readonly yields?: boolean;
  /** How many bytes a page should have; undefined: as many as `yields` allows. */
  readonly pageBytes?: number | undefined;
  /** Called after each page: records compared and bytes read from one node. Its delay limits the rate. */
  readonly onPage: (records: number, bytes: number) => Promise<void>;
}

const DIFFERENCES_MAX = 20;
// A record that is written every second is compared another time.
const ATTEMPTS_MAX = 5;
const PAUSE_MS = 200;
// Some ms of a stock server's work, about as long as a query.
const SMALL_PAGE_BYTES = 128 * 1024;
// About a millisecond of the event loop.
const IDS_PER_TURN = 4_096;

/** Throws NodeError when a node does not respond, TermOver when `signal` aborts. */
export function compareCopies(
  copies: readonly ComparedCopy[],
  options: ComparisonOptions,
): Promise<ComparisonResult> {
  return new Comparison(copies, options).run();
}

type ReadOf<T> = (copy: ComparedCopy) => Promise<T>;

/** One read of all copies, and what may have changed meanwhile. */
interface Reads<T> {
  readonly results: ReadonlyMap<string, T>;
  readonly range: TouchRange;
}

class Comparison {
  readonly #copies: readonly ComparedCopy[];
  readonly #options: ComparisonOptions;
  readonly #differences: CopyDifference[] = [];
  readonly #unreadable = new Map<string, string>();
  /** Fewer than two copies can be read, or they are too large. */
  #isUnreadable = false;

  constructor(copies: readonly ComparedCopy[], options: ComparisonOptions) {
    this.#copies = copies;
    this.#options = options;
  }

  async run(): Promise<ComparisonResult> {
    const { clock, signal } = this.#options;
    let ids: readonly string[] = [];
    let pending: readonly string[] = [];
    try {
      ids = pending = await this.#compareIds();
      for (let attempt = 1; pending.length > 0 && !this.#isOver; attempt++) {
        pending = await this.#comparePages(pending);
        if (attempt === ATTEMPTS_MAX) break;
        if (pending.length > 0) await sleep(clock, PAUSE_MS, signal);
      }
    } catch (error) {
      // Nothing can be said of what is not read.
      if (!isTooLarge(error)) throw error;
      this.#isUnreadable = true;
    }
    // Without ids the number of records is unknown.
    const uncompared = this.#isUnreadable ? Math.max(1, pending.length) : pending.length;
    return { differences: this.#differences, unreadable: this.#unreadable, ids, uncompared };
  }

  get #isOver(): boolean {
    return this.#differences.length >= DIFFERENCES_MAX || this.#readable.length < 2 || this.#isUnreadable;
  }

  get #readable(): readonly ComparedCopy[] {
    return this.#copies.filter(({ node }) => !this.#unreadable.has(node));
  }

  /** The ids of all copies together; reports a different order of those that all have. */
  async #compareIds(): Promise<readonly string[]> {
    const reads = await this.#readAll(({ read, location }) => readIds(read, location), longest);
    if (reads === null) return [];
    const lists = [...reads.results.values()];
    const [first = []] = lists;
    if (await areSameLists(lists, first)) return first;
    const touched = await this.#options.touched(reads.range);
    const { all, common } = await joined(lists);
    const isComparable = (id: string): boolean => common.has(mapKey(id)) && !touched.has(id);
    const comparable: string[][] = [];
    for (const list of lists) comparable.push(await filtered(list, isComparable));
    await this.#compareOrder([...reads.results.keys()], comparable);
    return all;
  }

  async #compareOrder(nodes: readonly string[], lists: readonly (readonly string[])[]): Promise<void> {
    const groups: { nodes: string[]; list: readonly string[] }[] = [];
    for (const [index, list] of lists.entries()) {
      const node = nodes[index] as string;
      let same: (typeof groups)[number] | null = null;
      for (const group of groups) if (same === null && (await isSameList(group.list, list))) same = group;
      if (same === null) groups.push({ nodes: [node], list });
      else same.nodes.push(node);
    }
    if (groups.length < 2) return;
    const found = groups.map((group) => ({ nodes: group.nodes, record: null }));
    this.#differences.push({ id: null, field: 'order', groups: found });
  }

  /** Compares the records with these ids; returns those that nothing can be said about yet. */
  async #comparePages(ids: readonly string[]): Promise<string[]> {
    const { yields, pageBytes } = this.#options;
    const sizes = new PageSizes(pageBytes ?? (yields === true ? SMALL_PAGE_BYTES : undefined));
    const again: string[] = [];
    for (let from = 0; from < ids.length && !this.#isOver;) {
      const page = sizes.page(ids, from);
      const read: ReadOf<readonly StoredRecord[] | null> = (copy) => readPage(copy.read, copy.location, page);
      const reads = await this.#readAll(read, () => page);
      if (reads === null) return ids.slice(from);
      const pages = new Map<string, readonly StoredRecord[]>();
      for (const [node, records] of reads.results) if (records !== null) pages.set(node, records);
      if (pages.size < reads.results.size) {
        sizes.tooLarge(page.length);
        continue;
      }
      const largest = [...pages.values()].reduce((one, other) => (other.length > one.length ? other : one));
      const bytes = sizes.observe(largest);
      again.push(...(await this.#comparePage(page, pages, reads.range)));
      from += page.length;
      await this.#options.onPage(page.length, bytes);
    }
    return again;
  }

  async #comparePage(
    ids: readonly string[],
    pages: ReadonlyMap<string, readonly StoredRecord[]>,
    range: TouchRange,
  ): Promise<string[]> {
    const byId = new Map(
      [...pages].map(([node, records]) => [
        node,
        new Map(records.map((record) => [mapKey(record.id), record])),
      ]),
    );
    const candidates = ids
      .map((id) => this.#differenceOf(id, byId))
      .filter((difference) => difference !== null);
    if (candidates.length === 0) return [];
    const touched = await this.#options.touched(range);
    const again: string[] = [];
    for (const difference of candidates) {
      const { id } = difference;
      if (touched.has(id)) again.push(id);
      else if (!this.#isOver) this.#differences.push(detached(difference));
    }
    return again;
  }

  #differenceOf(
    id: string,
    records: ReadonlyMap<string, ReadonlyMap<string, StoredRecord>>,
  ): (CopyDifference & { readonly id: string }) | null {
    const groups: { nodes: string[]; record: StoredRecord | null }[] = [];
    let field: CopyDifference['field'] | null = null;
    for (const [node, ofNode] of records) {
      const record = ofNode.get(mapKey(id)) ?? null;
      const same = groups.find((group) => {
        const different = this.#fieldThatDiffers(group.record, record);
        field = different ?? field;
        return different === null;
      });
      if (same === undefined) groups.push({ nodes: [node], record });
      else same.nodes.push(node);
    }
    return field === null || groups.length < 2 ? null : { id, field, groups };
  }

  #fieldThatDiffers(a: StoredRecord | null, b: StoredRecord | null): CopyDifference['field'] | null {
    if (a === null || b === null) return a === b ? null : 'presence';
    return recordDifference(a, b, this.#options.rule);
  }

  /**
   * Reads from every copy, at the same time unless clients come first. A copy that cannot be read while others can, although
   * no entry touches some record of it, is unreadable; `idsIn` names records. Null when fewer than two copies can be read:
   * there is nothing to compare.
   */
  async #readAll<T>(
    read: ReadOf<T>,
    idsIn: (results: ReadonlyMap<string, T>) => readonly string[],
  ): Promise<Reads<T> | null> {
    const { applied, head, touched, signal, clock, yields = false } = this.#options;
    for (let attempt = 1; this.#readable.length >= 2; attempt++) {
      if (signal.aborted) throw new TermOver();
      const copies = this.#readable;
      const after = Math.min(...copies.map(({ node }) => applied(node)));
      const settled = await settledOf(copies, read, yields);
      const range = { after, upTo: head() };
      const results = new Map<string, T>();
      const failed = new Map<string, string>();
      for (const [index, outcome] of settled.entries()) {
        const { node } = copies[index] as ComparedCopy;
        if (outcome.status === 'fulfilled') results.set(node, outcome.value);
        else if (outcome.reason instanceof CopyUnreadable) failed.set(node, outcome.reason.message);
        else throw outcome.reason;
      }
      if (failed.size === 0) return { results, range };
      // A server fails reads of a collection whose first write, or deletion, is in flight.
      const isCertain =
        results.size > 0 && attempt >= ATTEMPTS_MAX && leavesSome(await touched(range), idsIn(results));
      if (isCertain)
        for (const [node, reason] of failed) this.#unreadable.set(node, `cannot be read: ${reason}`);
      else if (attempt === 2 * ATTEMPTS_MAX) break;
      else await sleep(clock, PAUSE_MS, signal);
    }
    this.#isUnreadable = true;
    return null;
  }
}

/** Whether entries touch nothing, or not all of these records. */
function leavesSome(touched: TouchedIds, ids: readonly string[]): boolean {
  return !touched.any || ids.some((id) => !touched.has(id));
}

function longest(lists: ReadonlyMap<string, readonly string[]>): readonly string[] {
  return [...lists.values()].reduce((one, other) => (other.length > one.length ? other : one), []);
}

/** The outcome for each copy, of all at once or of one after the other. */
async function settledOf<T>(
  copies: readonly ComparedCopy[],
  read: ReadOf<T>,
  oneByOne: boolean,
): Promise<PromiseSettledResult<T>[]> {
  if (!oneByOne) return Promise.allSettled(copies.map(read));
  const settled: PromiseSettledResult<T>[] = [];
  for (const copy of copies) settled.push(...(await Promise.allSettled([read(copy)])));
  return settled;
}

/** Every id once, in the order of the lists, and the map keys of those that all lists have. */
async function joined(
  lists: readonly (readonly string[])[],
): Promise<{ all: string[]; common: ReadonlySet<string> }> {
  const counts = new Map<string, number>();
  const all: string[] = [];
  for (const list of lists) {
    await eachInTurns(list, (id) => {
      const key = mapKey(id);
      const count = counts.get(key) ?? 0;
      if (count === 0) all.push(id);
      counts.set(key, count + 1);
    });
  }
  const common = new Set<string>();
  for (const [key, count] of counts) if (count === lists.length) common.add(key);
  return { all, common };
}

// Lists of millions of ids are walked in steps, so that the event loop continues.
async function isSameList(a: readonly string[], b: readonly string[]): Promise<boolean> {
  if (a.length !== b.length) return false;
  for (let from = 0; from < a.length; from += IDS_PER_TURN) {
    const step = Math.min(from + IDS_PER_TURN, a.length);
    for (let index = from; index < step; index++) if (a[index] !== b[index]) return false;
    if (step < a.length) await nextTurn();
  }
  return true;
}

async function areSameLists(
  lists: readonly (readonly string[])[],
  first: readonly string[],
): Promise<boolean> {
  for (const list of lists) if (list !== first && !(await isSameList(list, first))) return false;
  return true;
}

async function filtered(list: readonly string[], isKept: (id: string) => boolean): Promise<string[]> {
  const kept: string[] = [];
  await eachInTurns(list, (id) => {
    if (isKept(id)) kept.push(id);
  });
  return kept;
}

/** A copy that does not keep the pages in memory. */
function detached(difference: CopyDifference): CopyDifference {
  const copyOf = (record: StoredRecord): StoredRecord => ({
    id: record.id,
    embedding: Buffer.from(record.embedding),
    document: Buffer.from(record.document),
    uri: Buffer.from(record.uri),
    metadata: Buffer.from(record.metadata),
  });
  const groups = difference.groups.map(({ nodes, record }) => ({
    nodes,
    record: record === null ? null : copyOf(record),
  }));
  return { ...difference, groups };
}
