// Verifies a shard: compares its copies on several nodes with each other and their indexes with their records, decides
// which copies are wrong, and makes those suspect.

import type { Catalog } from '../catalog/catalog.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { collectionRequest, type ShardLocation } from '../chroma/protocol/node-requests.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import { LogDamaged, LogTrimmed } from '../log/entry.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { mapKey } from '../util/map-key.ts';
import {
  compareCopies,
  type ComparedCopy,
  type ComparisonResult,
  type CopyDifference,
} from './copy-comparison.ts';
import { CopyUnreadable, isTooLarge, readIds, type ReadCopy } from './copy-content.ts';
import { resolveDifferences } from './difference-resolution.ts';
import { FullTextVerification } from './full-text-verification.ts';
import { groupsConfirmedByLog, type LogConfirmationSource } from './log-confirmation.ts';
import { sampleOf } from './index-check.ts';
import { IndexVerification } from './index-verification.ts';
import { restAfter } from './pacing.ts';
import { touchedIds, type TouchedIdsSource } from './touched-ids.ts';

export interface ShardVerificationOptions extends TouchedIdsSource, LogConfirmationSource {
  readonly log: TouchedIdsSource['log'] & LogConfirmationSource['log'];
  readonly decisions: TouchedIdsSource['decisions'] & LogConfirmationSource['decisions'];
  readonly catalog: Pick<Catalog, 'collectionOfShard' | 'physical'>;
  /** Nodes that serve. */
  readonly serving: () => readonly string[];
  readonly client: (node: string) => Pick<NodeClient, 'read'>;
  readonly primary: () => string | null;
  readonly applied: (node: string, shard: string) => number;
  readonly head: () => number;
  /** Makes a copy suspect, durably, before any read is served from it (I8). */
  readonly markSuspect: (node: string, shard: string, reason: string, term: Term) => Promise<void>;
  readonly events: EventSink;
  readonly clock: Clock;
}

/** What the verification of one shard found. */
export interface ShardReport {
  readonly records: number;
  /** Records that could not be compared, because entries kept changing them. */
  readonly uncompared: number;
  /** Nodes whose copies became suspect. */
  readonly suspects: readonly string[];
}

interface Deaths {
  readonly count: number;
  /** On the monotonic clock. */
  readonly lastMs: number;
}

export interface VerifyShardOptions {
  readonly term: Term;
  /** Nodes that are asked too once the copies differ. */
  readonly witnesses?: readonly string[];
  /** Whether clients come first (copy-comparison.ts). */
  readonly yields?: boolean;
  /** How long a node rests after each read, as a multiple of what the read took (pacing.ts); 0 if undefined. Then nodes are read in turns. */
  readonly rest?: number;
  /** Called after each page; its delay limits the rate. */
  readonly onPage?: (records: number, bytes: number) => Promise<void>;
  /** Whether something was found before, so that nothing is left out to save time. */
  readonly isThorough?: boolean;
}

// A busy node may take long to respond to a read; one that takes longer is compared another time.
const DEADLINE_MS = 30_000;
const NOTHING: ShardReport = { records: 0, uncompared: 0, suspects: [] };
const NOTHING_FOUND = 'no copy finds a record by its own vector, so none of them is blamed';
// The number of records is unknown.
const UNCOMPARED: ComparisonResult = { differences: [], unreadable: new Map(), ids: [], uncompared: 1 };
// A millisecond or two of a stock server's work: reads of clients that need the same core wait no longer.
const RESTING_PAGE_BYTES = 32 * 1024;
const ATTEMPTS_MAX = 5;
const PAUSE_MS = 200;
// A server whose index file is damaged may end when it reads it. Two deaths may be chance.
const DEATHS_MAX = 3;
// A server that died long ago died of something else; a restart and its verification take minutes.
const DEATHS_APART_MS_MAX = 3_600_000;
// Far more reads than one damaged file makes deadly.
const DEADLY_READS_MAX = 100;

export class ShardVerification {
  readonly #options: ShardVerificationOptions;
  readonly #indexes: IndexVerification;
  readonly #fullText: FullTextVerification;
  /** By copy, then by request: how often it has ended the connections of the node since the copy was last verified. */
  readonly #deaths = new Map<string, Map<string, Deaths>>();

  constructor(options: ShardVerificationOptions) {
    this.#options = options;
    this.#indexes = new IndexVerification(options);
    this.#fullText = new FullTextVerification(options);
  }

  /**
   * Verifies the copies of the shard on these nodes; copies that are suspect or missing are left out. With one copy, only
   * its index and its filters by document are checked. Throws NodeError when a node does not respond, TermOver.
   */
  async verify(shard: string, nodes: readonly string[], options: VerifyShardOptions): Promise<ShardReport> {
    const { term, witnesses = [], isThorough = false, rest = 0 } = options;
    const yields = rest > 0 || (options.yields ?? false);
    const startedMs = this.#options.clock.monotonic();
    const copies = this.#copiesOn(nodes, shard, term.signal, rest);
    if (copies.length === 0) return NOTHING;
    const found = await this.#compare(shard, copies, options);
    const readable = copies.filter(({ node }) => !found.unreadable.has(node));
    const suspectIds = found.differences.flatMap(({ id }) => id ?? []);
    const sample = (attempt: number): string[] => sampleOf(found.ids, suspectIds, attempt);
    const index = await this.#indexes.verify(shard, readable, { sample, term, yields });
    const fullText = await this.#fullText.verify(shard, readable, {
      ids: found.ids,
      suspects: suspectIds,
      comparedMs: (this.#options.clock.monotonic() - startedMs) / (1 + rest),
      isUnlimited: isThorough,
      yields,
      rest,
      term,
    });
    const faults = new Map([...fullText, ...found.unreadable, ...index.faults]);
    const isFaultless = found.differences.length === 0 && faults.size === 0 && !index.findNothing;
    const more = witnesses.filter((node) => !nodes.includes(node));
    if (!isFaultless && this.#copiesOn(more, shard, term.signal).length > 0)
      return this.verify(shard, [...nodes, ...more], { ...options, witnesses: [], isThorough: true });
    if (index.findNothing) this.#options.events.record('copies_undecided', { shard, reason: NOTHING_FOUND });
    const suspects = isFaultless ? [] : await this.#resolve(shard, copies, found.differences, faults, term);
    for (const { node } of copies) this.#deaths.delete(keyOf(node, shard));
    return { records: found.ids.length, uncompared: found.uncompared, suspects };
  }

  async #compare(
    shard: string,
    copies: readonly ComparedCopy[],
    { term, yields = false, rest = 0, onPage = async () => undefined }: VerifyShardOptions,
  ): Promise<ComparisonResult> {
    const [first] = copies;
    if (copies.length === 1 && first !== undefined) return this.#readAlone(shard, first, term);
    return compareCopies(copies, {
      rule: { isCosine: await this.#isCosine(shard, copies) },
      applied: (node) => this.#options.applied(node, shard),
      head: this.#options.head,
      touched: (range) => touchedIds(this.#options, shard, range, term.signal),
      clock: this.#options.clock,
      signal: term.signal,
      yields: yields || rest > 0,
      pageBytes: rest > 0 ? RESTING_PAGE_BYTES : undefined,
      onPage,
    });
  }

  async #readAlone(
    shard: string,
    { node, read, location }: ComparedCopy,
    { signal }: Term,
  ): Promise<ComparisonResult> {
    const { applied, head, clock } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const after = applied(node, shard);
      try {
        const ids = await readIds(read, location);
        return { differences: [], unreadable: new Map(), ids, uncompared: ids.length };
      } catch (error) {
        if (isTooLarge(error)) return UNCOMPARED;
        if (!(error instanceof CopyUnreadable)) throw error;
        const range = { after, upTo: head() };
        // A server fails reads of a collection whose first write, or deletion, is in flight.
        const isCertain =
          attempt >= ATTEMPTS_MAX && !(await touchedIds(this.#options, shard, range, signal)).any;
        if (isCertain)
          return { differences: [], unreadable: new Map([[node, error.message]]), ids: [], uncompared: 0 };
        if (attempt === 2 * ATTEMPTS_MAX) return UNCOMPARED;
      }
      await sleep(clock, PAUSE_MS, signal);
    }
  }

  /** Marks the wrong copies; returns their nodes. */
  async #resolve(
    shard: string,
    copies: readonly ComparedCopy[],
    differences: readonly CopyDifference[],
    faults: ReadonlyMap<string, string>,
    term: Term,
  ): Promise<string[]> {
    const { primary, markSuspect, events } = this.#options;
    const confirmed = await this.#confirmedByLog(shard, copies, differences, term);
    const { suspects, undecided } = resolveDifferences({
      nodes: copies.map(({ node }) => node),
      primary: primary(),
      hasOtherCopies: this.#hasCopyBeside(copies, shard),
      isFromLog: (node) => this.#options.catalog.physical(node, shard)?.copy === 0,
      faults,
      differences: differences.map((difference, index) => ({
        what: describe(difference),
        groups: difference.groups,
        confirmedByLog: confirmed[index] ?? null,
      })),
    });
    if (term.signal.aborted) throw new TermOver();
    if (undecided !== null) events.record('copies_undecided', { shard, reason: undecided });
    const marked: string[] = [];
    for (const [node, reason] of suspects) {
      // A copy that was replaced meanwhile is not the one that was read.
      const read = copies.find((copy) => copy.node === node);
      if (this.#locationOf(node, shard)?.physical !== read?.location.physical) continue;
      await markSuspect(node, shard, reason, term);
      marked.push(node);
    }
    return marked;
  }

  async #confirmedByLog(
    shard: string,
    copies: readonly ComparedCopy[],
    differences: readonly CopyDifference[],
    { signal }: Term,
  ): Promise<(number | null)[]> {
    const createdLSN = this.#options.catalog.collectionOfShard(shard)?.createdLSN ?? 0;
    const rule = { isCosine: await this.#isCosine(shard, copies) };
    try {
      return await groupsConfirmedByLog(this.#options, { shard, createdLSN, differences, rule }, signal);
    } catch (error) {
      // Its entries are gone or unreadable: the difference is decided without it.
      if (!(error instanceof LogTrimmed || error instanceof LogDamaged)) throw error;
      return differences.map(() => null);
    }
  }

  #copiesOn(nodes: readonly string[], shard: string, signal: AbortSignal, rest = 0): ComparedCopy[] {
    const { clock } = this.#options;
    return nodes.flatMap((node) => {
      const location = this.#locationOf(node, shard);
      if (location === null) return [];
      const read: ReadCopy = async (request) => {
        const startedMs = clock.monotonic();
        const response = await this.#read({ node, shard, signal }, request);
        if (rest > 0) await sleep(clock, restAfter(clock.monotonic() - startedMs, rest), signal);
        return response;
      };
      return { node, location, read };
    });
  }

  /** Whether another copy can take the place of these now: its node serves, and has applied what they have. */
  #hasCopyBeside(copies: readonly ComparedCopy[], shard: string): boolean {
    const { serving, applied } = this.#options;
    const compared = new Set(copies.map(({ node }) => node));
    const reached = Math.min(...copies.map(({ node }) => applied(node, shard)));
    return serving().some(
      (node) =>
        !compared.has(node) && this.#locationOf(node, shard) !== null && applied(node, shard) >= reached,
    );
  }

  /** Null when the node has no copy, or a suspect one. */
  #locationOf(node: string, shard: string): ShardLocation | null {
    const { catalog } = this.#options;
    const collection = catalog.collectionOfShard(shard);
    const copy = catalog.physical(node, shard);
    if (collection === null || copy === null || copy.suspect !== null) return null;
    const { tenant, database } = collection;
    return { tenant, database, physical: copy.physical };
  }

  async #read(
    { node, shard, signal }: { readonly node: string; readonly shard: string; readonly signal: AbortSignal },
    request: Parameters<ReadCopy>[0],
  ): Promise<{ readonly status: number; readonly body: Buffer }> {
    try {
      return await this.#options.client(node).read({ ...request, deadlineMs: DEADLINE_MS, signal });
    } catch (error) {
      if (signal.aborted) throw new TermOver();
      const isEnded = error instanceof NodeError && error.code === 'unanswered' && error.sent;
      if (!isEnded) throw error;
      // The same read each time: a node that is restarted again and again dies at another one.
      const ofCopy = this.#deaths.get(keyOf(node, shard)) ?? new Map<string, Deaths>();
      const what = mapKey(`${request.path} ${String(request.body ?? '')}`);
      const nowMs = this.#options.clock.monotonic();
      const { count, lastMs } = ofCopy.get(what) ?? { count: 0, lastMs: nowMs };
      const deaths = nowMs - lastMs > DEATHS_APART_MS_MAX ? 1 : count + 1;
      if (ofCopy.size > DEADLY_READS_MAX) ofCopy.clear();
      this.#deaths.set(keyOf(node, shard), ofCopy.set(what, { count: deaths, lastMs: nowMs }));
      if (deaths < DEATHS_MAX) throw error;
      throw new CopyUnreadable(0, `reading it has ended the connections of the server ${deaths} times`);
    }
  }

  /** Whether the shard's vectors are normalised. The tolerant assumption when no node says so. */
  async #isCosine(shard: string, copies: readonly ComparedCopy[]): Promise<boolean> {
    for (const { node, read, location } of copies) {
      const copy = this.#options.catalog.physical(node, shard);
      if (copy === null) continue;
      const request = { ...collectionRequest(location, copy.name), responseBytesMax: OBJECT_BYTES_MAX };
      const { status, body } = await read(request);
      const space = status === 200 ? spaceIn(body, location) : null;
      if (space !== null) return space === 'cosine';
    }
    return true;
  }
}

const OBJECT_BYTES_MAX = 64 * 1024 * 1024;

interface CollectionObject {
  readonly id?: string;
  readonly configuration_json?: {
    readonly hnsw?: { readonly space?: string } | null;
    readonly spann?: { readonly space?: string } | null;
  };
}

/** The distance function of the collection; null when the object is that of another one. */
function spaceIn(body: Buffer, { physical }: ShardLocation): string | null {
  const { id, configuration_json: configuration } = JSON.parse(body.toString()) as CollectionObject;
  if (id !== physical) return null;
  return configuration?.hnsw?.space ?? configuration?.spann?.space ?? null;
}

function describe({ id, field, groups }: CopyDifference): string {
  if (id === null) return 'the order of the records differs';
  // Ids may be long, and are the clients' data.
  const name = id.length > 100 ? `${id.slice(0, 100)}…` : id;
  if (field !== 'presence') return `the ${field} of record "${name}" differs`;
  const lacking = groups.find(({ record }) => record === null)?.nodes ?? [];
  return `record "${name}" is missing on ${lacking.join(', ')} and present elsewhere`;
}

const keyOf = (node: string, shard: string): string => mapKey(JSON.stringify([node, shard]));
