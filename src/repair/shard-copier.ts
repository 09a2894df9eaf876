// Copies a shard from one node to another, exact at one LSN, while both go on (ARCHITECTURE.md, "How a copy is rebuilt").
//
// The donor's content is read by ids; what the log touches meanwhile is copied again, in passes. Then both nodes are held
// for a moment between two rounds: the target at C, the donor at L >= C. What was touched up to L is read, the donor goes
// on, and the copy is exact at L once that is written.

import type { NodeClient } from '../chroma/client/node-client.ts';
import {
  countRecordsRequest,
  getRecordsRequest,
  type ShardLocation,
} from '../chroma/protocol/node-requests.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { TermOver } from '../coordination/term.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import { mapKey } from '../util/map-key.ts';
import { eachInTurns } from '../util/next-turn.ts';
import { readAhead } from '../util/read-ahead.ts';
import { linkedAbort } from '../util/race.ts';
import { batchesOf, bytesOfRecord } from './copy-batches.ts';
import {
  bodyOf,
  idsIn,
  readIds,
  readPages,
  type ContentPage,
  type ReadCopy,
  type StoredRecord,
} from './copy-content.ts';
import { donorOrder, orderChange } from './copy-order.ts';
import { CopyFailed, describe, type CopyTarget, type Difference } from './copy-target.ts';
import { merged, type DeltaIds, type CopyDelta } from './copy-delta.ts';

/** A node stands at its checkpoint until the hold is released. */
export interface HeldNode {
  readonly checkpoint: number;
  release(): void;
}

/** A node that a copy is made from or on. */
export interface CopyNode {
  readonly id: string;
  readonly client: Pick<NodeClient, 'read' | 'mutate'>;
  /** LSN up to which it has applied everything, durably. */
  checkpoint(): number;
  /** LSN up to which entries of the shard may have been sent to it; null when that is not known. */
  offeredTo(shard: string): number | null;
  /** Stops its applier between two rounds; null when `signal` aborts first. */
  hold(signal: AbortSignal): Promise<HeldNode | null>;
}

export interface ShardCopierOptions {
  readonly donor: CopyNode;
  /** Whether writes wait for the donor: it is held for 300 ms at most (R24). */
  readonly isPrimaryDonor: boolean;
  readonly shard: string;
  readonly source: ShardLocation;
  readonly node: CopyNode;
  readonly target: CopyTarget;
  readonly touched: CopyDelta;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Waits as long as the rate limit asks for so many bytes. */
  readonly pace: (bytes: number, signal: AbortSignal) => Promise<void>;
  /** Called when the ids touched per pass do not halve; null: they need not for a while (R31). */
  readonly onFallingBehind: (touched: number | null) => void;
  readonly onProgress: (phase: string, done: number, total: number) => void;
  /** The copy is exact at `lsn`, and the node is held: puts it into use. Throws when that cannot be. */
  readonly complete: (lsn: number) => Promise<void>;
}

/** The donor cannot be read or held: another may do. */
export class DonorFailed extends Error {
  override readonly name = 'DonorFailed';
}

interface HeldLimits {
  /** Ids that may be left when the donor is held. */
  readonly ids: number;
  readonly heldMs: number;
}

const READ_DEADLINE_MS = 30_000;
// So few records are one page, some 10 ms of a stock server's work, and are written to the copy in 0.1 s.
const PRIMARY_LIMITS: HeldLimits = { ids: 64, heldMs: 300 };
// No write of level primary waits for a replica; five seconds of lag are below what makes it count as behind.
const REPLICA_LIMITS: HeldLimits = { ids: 512, heldMs: 5_000 };
const HELD_BYTES_MAX = 4 * 1024 * 1024;
// A round takes about a second; a long call of the node delays the hold, not the node.
const HOLD_WAIT_MS = 10_000;
const POLL_MS = 10;
// Each pass is shorter than the one before, or appends are slowed until it is.
const PASSES_MAX = 1_000;
const FINISHES_MAX = 50;
const PAUSE_MS = 100;
// A copy with more differences is not worth repairing, and they are held in memory.
const DIFFERENCES_MAX = 1_000;

export class ShardCopier {
  readonly #options: ShardCopierOptions;
  readonly #readDonor: ReadCopy;
  /** Records that differed when they were compared; explained once the log has touched them since. */
  readonly #differences = new Map<string, Difference>();
  /** Ids that were read from the log and are to be copied again. */
  #pending: DeltaIds = new Map();

  constructor(options: ShardCopierOptions) {
    this.#options = options;
    this.#readDonor = (request) => options.donor.client.read({ ...request, deadlineMs: READ_DEADLINE_MS });
  }

  /** Resolves when the copy is in use. Throws CopyFailed, CopyOutdated, DonorFailed, LogTrimmed. */
  async run(): Promise<void> {
    const resumed = await this.#bulk();
    await this.#catchUp();
    // Comparing may take long, and needs no writes to wait. What is limited after it stays so until the copy is in use.
    this.#options.onFallingBehind(null);
    await this.#compare(resumed);
    const fault = await this.#options.target.fault();
    if (fault !== null) throw new CopyFailed(fault);
    for (let attempt = 1; attempt <= FINISHES_MAX; attempt++) {
      await this.#catchUp();
      const before = await this.#align();
      if (await this.#finish(before)) return;
      await sleep(this.#options.clock, PAUSE_MS, this.#options.signal);
    }
    throw new CopyFailed(`the copy could not be completed in ${FINISHES_MAX} attempts`);
  }

  /** Copies every record that the copy does not have, and compares it; returns the ids of those that it had. */
  async #bulk(): Promise<readonly string[]> {
    const { source, target, onProgress } = this.#options;
    const ids = await this.#fromDonor(() => readIds(this.#readDonor, source));
    const resumed = await target.ids();
    const missing = await without(ids, resumed);
    let done = 0;
    let adding: Promise<unknown> = Promise.resolve();
    let comparing: Promise<readonly Difference[]> = Promise.resolve([]);
    try {
      const batches = batchesOf(this.#donorPages(missing));
      for await (const records of readAhead(() => batches.next())) {
        adding = target.add(records);
        const [differences] = await Promise.all([comparing, adding]);
        crashPoint('copy_halfway');
        this.#note(differences);
        // While the next batch is read and added.
        comparing = target.differences(records);
        comparing.catch(() => undefined);
        done += records.length;
        onProgress('copying', done, missing.length);
        await this.#pause(records);
      }
      this.#note(await comparing);
    } finally {
      // Nothing may be executed once the copy is resumed or given up.
      await Promise.allSettled([adding, comparing]);
    }
    return resumed;
  }

  /** Copies what the log has touched, in passes, until little is left. */
  async #catchUp(): Promise<void> {
    const { donor, touched, onFallingBehind, onProgress, clock, signal } = this.#options;
    let last = Infinity;
    for (let pass = 1; pass <= PASSES_MAX; pass++) {
      this.#requireTerm();
      this.#pending = merged(this.#pending, await touched.read(donor.checkpoint()));
      const ids = this.#pending;
      onProgress('catching up', touched.position, donor.checkpoint());
      await this.#copyTouched(ids);
      this.#pending = new Map();
      if (ids.size <= PRIMARY_LIMITS.ids) return;
      // R31: the copy cannot end unless less is touched in each pass.
      if (ids.size > last / 2) onFallingBehind(ids.size);
      last = ids.size;
      await sleep(clock, 0, signal);
    }
    throw new CopyFailed(`the log touches records faster than they are copied`);
  }

  /** Copies these ids anew, as the donor has them now. */
  async #copyTouched(touched: DeltaIds): Promise<void> {
    const ids = [...touched.values()].map(({ id }) => id);
    const wasDeleted = (id: string): boolean => touched.get(mapKey(id))?.wasDeleted === true;
    for await (const page of this.#donorPages(ids)) {
      await this.#options.target.replaceRecords(page.ids, page.records, wasDeleted);
      for (const id of page.ids) this.#differences.delete(mapKey(id));
      await this.#pause(page.records);
    }
  }

  /** Compares these records with the donor's (I13). */
  async #compare(ids: readonly string[]): Promise<void> {
    const { target, onProgress } = this.#options;
    let done = 0;
    for await (const { ids: asked, records } of this.#donorPages(ids)) {
      const found = new Set(records.map(({ id }) => mapKey(id)));
      const gone = asked.filter((id) => !found.has(mapKey(id))).map((id) => ({ id, field: 'record' }));
      this.#note([...gone, ...(await target.differences(records))]);
      done += asked.length;
      onProgress('comparing', done, ids.length);
      await this.#pause(records);
    }
  }

  /** Differences are explained by the log later, or are faults. */
  #note(differences: readonly Difference[]): void {
    for (const difference of differences) this.#differences.set(mapKey(difference.id), difference);
    if (this.#differences.size > DIFFERENCES_MAX) throw new CopyFailed('the copy differs from its donor');
  }

  /** Brings the copy into the donor's order, as of one read of it. */
  async #align(): Promise<Aligned> {
    const { source, target } = this.#options;
    const before = await this.#fromDonor(() => readIds(this.#readDonor, source));
    const { remove, append } = await orderChange(await target.ids(), before);
    await target.delete(remove);
    for await (const { records } of this.#donorPages(append)) await target.add(records);
    for await (const { records } of this.#donorPages(append)) {
      for (const { id } of records) this.#differences.delete(mapKey(id));
      for (const each of await target.differences(records)) this.#differences.set(mapKey(each.id), each);
    }
    return { before, have: remove.length + append.length === 0 ? before : await target.ids() };
  }

  /** Holds both nodes and completes the copy. False when it is too far behind for that, or the donor is too slow. */
  async #finish({ before, have }: Aligned): Promise<boolean> {
    const { node, target } = this.#options;
    const held = await this.#hold(node);
    if (held === null) return false;
    try {
      const content = await this.#heldContent(held.checkpoint);
      if (content === null) return false;
      const { lsn, records, count } = content;
      const touched = this.#pending;
      const inOrder = records.map(({ id }) => id);
      const order = await donorOrder(before, inOrder, touched);
      const { remove, append, kept } = await orderChange(have, order);
      const isTouched = (id: string): boolean => touched.has(mapKey(id));
      if (order.length !== count || ![...remove, ...append].every(isTouched)) return false;
      const moved = new Set(remove.map(mapKey));
      const ids = [...touched.values()].map(({ id }) => id);
      await target.replaceRecords(ids, records, (id) => moved.has(mapKey(id)));
      for (const id of ids) this.#differences.delete(mapKey(id));
      const [fault] = this.#differences.values();
      if (fault !== undefined) throw new CopyFailed(describe(fault));
      await this.#requireOrder(order, kept);
      crashPoint('copy_complete');
      this.#requireTerm();
      await this.#options.complete(lsn);
      return true;
    } finally {
      held.release();
    }
  }

  /** What the log touched last, read from the donor while it is held at an LSN of at least `atLeast`. */
  async #heldContent(atLeast: number): Promise<HeldContent | null> {
    const { donor, shard, touched, isPrimaryDonor, clock, signal } = this.#options;
    const until = clock.monotonic() + HOLD_WAIT_MS;
    while (donor.checkpoint() < atLeast) {
      if (clock.monotonic() > until || signal.aborted) return null;
      await sleep(clock, POLL_MS, signal);
    }
    const held = await this.#hold(donor);
    if (held === null) return null;
    // Beyond its checkpoint it may show an entry that is quarantined later, of which the copy could not be read back (I8).
    if ((donor.offeredTo(shard) ?? Infinity) > held.checkpoint) return (held.release(), null);
    const limits = isPrimaryDonor ? PRIMARY_LIMITS : REPLICA_LIMITS;
    const heldUntil = clock.monotonic() + limits.heldMs;
    // R24, also while PostgreSQL is slow: what is read after this moment does not count.
    const cancel = clock.after(limits.heldMs, () => held.release());
    try {
      const lsn = held.checkpoint;
      this.#pending = merged(this.#pending, await touched.read(lsn));
      if (this.#pending.size > limits.ids) return null;
      const content = await this.#heldRecords(
        [...this.#pending.values()].map(({ id }) => id),
        heldUntil,
      );
      return content === null || clock.monotonic() >= heldUntil ? null : { lsn, ...content };
    } finally {
      cancel();
      held.release();
    }
  }

  /** The donor's records with these ids in its order, and how many it has in all; null when it is too slow. */
  async #heldRecords(ids: readonly string[], until: number): Promise<Omit<HeldContent, 'lsn'> | null> {
    const { donor, source, clock } = this.#options;
    const read: ReadCopy = (request) =>
      donor.client.read({ ...request, deadlineMs: Math.max(1, until - clock.monotonic()) });
    try {
      const records: StoredRecord[] = [];
      let bytes = 0;
      for await (const page of readPages(read, source, ids)) {
        records.push(...page.records);
        bytes += page.records.reduce((sum, record) => sum + bytesOfRecord(record), 0);
        if (bytes > HELD_BYTES_MAX) return null;
      }
      const order = getRecordsRequest(source, { ids, include: [] });
      const inOrder =
        ids.length === 0
          ? []
          : await idsIn(bodyOf(await read({ ...order, responseBytesMax: HELD_BYTES_MAX })));
      const rank = new Map(inOrder.map((id, index) => [mapKey(id), index]));
      records.sort((a, b) => (rank.get(mapKey(a.id)) ?? 0) - (rank.get(mapKey(b.id)) ?? 0));
      const counted = await read({ ...countRecordsRequest(source), responseBytesMax: HELD_BYTES_MAX });
      return counted.status === 200 ? { records, count: Number(counted.body.toString()) } : null;
    } catch (error) {
      if (error instanceof NodeError) return null;
      throw error;
    }
  }

  /** Throws unless the copy's records are in this order; the first `kept` were read before, and stayed. */
  async #requireOrder(order: readonly string[], kept: number): Promise<void> {
    const { target } = this.#options;
    const rest = await target.ids(kept);
    const isSame =
      rest.length === order.length - kept && rest.every((id, index) => id === order[kept + index]);
    if (!isSame || (await target.count()) !== order.length)
      throw new CopyFailed("the records are not in the donor's order");
  }

  /** Null when the node is not between two rounds in time. */
  async #hold(node: CopyNode): Promise<HeldNode | null> {
    const { clock, signal } = this.#options;
    const { controller, unlink } = linkedAbort(signal);
    const cancel = clock.after(HOLD_WAIT_MS, () => controller.abort());
    try {
      return await node.hold(controller.signal);
    } finally {
      cancel();
      unlink();
    }
  }

  /** The donor's records with these ids; each page is read while the one before is written or compared. */
  async *#donorPages(ids: readonly string[]): AsyncGenerator<ContentPage> {
    const pages = readPages(this.#readDonor, this.#options.source, ids);
    for await (const page of readAhead(() => this.#fromDonor(() => pages.next()))) {
      yield page;
      this.#requireTerm();
    }
  }

  async #fromDonor<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      throw new DonorFailed(`${this.#options.donor.id}: ${(error as Error).message}`, { cause: error });
    }
  }

  #requireTerm(): void {
    if (this.#options.signal.aborted) throw new TermOver();
  }

  async #pause(records: readonly StoredRecord[]): Promise<void> {
    const { pace, signal } = this.#options;
    await pace(
      records.reduce((sum, record) => sum + bytesOfRecord(record), 0),
      signal,
    );
  }
}

/** The donor's order as of a read, and that of the copy after it. */
interface Aligned {
  readonly before: readonly string[];
  readonly have: readonly string[];
}

interface HeldContent {
  readonly lsn: number;
  /** The records that the log touched last, in the donor's order. */
  readonly records: readonly StoredRecord[];
  /** Records of the donor in all. */
  readonly count: number;
}

/** The ids of a list that another does not have. */
async function without(ids: readonly string[], others: readonly string[]): Promise<string[]> {
  const known = new Set<string>();
  await eachInTurns(others, (id) => void known.add(mapKey(id)));
  const rest: string[] = [];
  await eachInTurns(ids, (id) => {
    if (!known.has(mapKey(id))) rest.push(id);
  });
  return rest;
}
