// Heals suspect copies of shards, one at a time while this gateway leads: each is built again next to the old one from a
// healthy donor, compared, put into use, and the old one dropped after a grace period.

import type { Catalog, Collection } from '../catalog/catalog.ts';
import type { Term } from '../coordination/term.ts';
import { TermOver } from '../coordination/term.ts';
import type { EventSink } from '../observability/events.ts';
import { sleep, type Clock } from '../util/clock.ts';
import { crashPoint } from '../util/crash-point.ts';
import type { Logger } from '../util/logger.ts';
import { mapKey } from '../util/map-key.ts';
import { CopyCreation, type CopyCreationOptions } from './copy-creation.ts';
import { CopyDrops } from './copy-drops.ts';
import type { AsideCopy, CopyStore } from './copy-store.ts';
import { CopyFailed, CopyTarget } from './copy-target.ts';
import type { DamagedNodes } from './damaged-nodes.ts';
import { Pacing } from './pacing.ts';
import { DonorFailed, ShardCopier, type CopyNode } from './shard-copier.ts';
import { CopyOutdated, CopyDelta, type CopyDeltaOptions } from './copy-delta.ts';

/** A node as a rebuild sees it. */
export interface RebuildNode extends CopyNode {
  /** Its applier runs. */
  follows(): boolean;
  /** A delayed call may have changed its content: what is copied from it could not be found by comparing it later. */
  awaitsRecheck(): boolean;
  /** Writes the number of a complete copy into the node's marker. */
  writeCopyNumber(copy: number, term: Term): Promise<void>;
}

export interface RebuildsOptions extends Omit<CopyCreationOptions, 'held' | 'copies'> {
  readonly copies: CopyCreationOptions['copies'] &
    Pick<CopyStore, 'aside' | 'abandon' | 'rename' | 'dropped' | 'marked' | 'swap'>;
  readonly nodes: () => readonly RebuildNode[];
  readonly primary: () => string | null;
  readonly catalog: Pick<
    Catalog,
    'suspectShards' | 'collectionOfShard' | 'isHealthy' | 'isSuspect' | 'physical' | 'refresh'
  >;
  readonly log: CopyDeltaOptions['log'];
  readonly decisions: CopyDeltaOptions['decisions'];
  readonly idsMax: () => number;
  /** Whether lists in metadata survive the deletion of their collection on these servers. */
  readonly leavesLists: () => boolean;
  /** Learns which nodes cannot make copies. */
  readonly damaged: Pick<DamagedNodes, 'healed' | 'failed'>;
  /** Forgets every cached response and record. */
  readonly forget: () => void;
  /** 0: no limit. */
  readonly bytesPerSecond: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly events: EventSink;
}

/** A rebuild in progress, for operators. */
export interface RebuildProgress {
  readonly node: string;
  readonly shard: string;
  readonly collection: string;
  readonly donor: string;
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** When it began: wall clock, ms since the epoch. */
  readonly since: number;
}

/** A suspect copy that could not be rebuilt yet. */
interface WaitingRebuild {
  readonly node: string;
  readonly shard: string;
  failures: number;
  /** No attempt before this moment, clock.monotonic() ms. */
  nextAt: number;
  reason: string;
}

interface Job {
  readonly node: RebuildNode;
  readonly shard: string;
  readonly collection: Collection;
  readonly donor: RebuildNode;
}

const INTERVAL_MS = 1_000;
// A call of an earlier leader takes about a second; until it has ended its copy may still change.
const RESUME_AFTER_MS = 3_000;
const BACK_OFF_FIRST_MS = 1_000;
const BACK_OFF_MAX_MS = 300_000;
// R31: a copy that takes longer than this loses its claim on the log, and is begun anew if the log was trimmed.
const CLAIM_MS_MAX = 3_600_000;
const DELAY_FIRST_MS = 10;
/** As the largest delay of back-pressure. */
const DELAY_MAX_MS = 500;

export class Rebuilds {
  readonly #options: RebuildsOptions;
  readonly #waiting = new Map<string, WaitingRebuild>();
  readonly #pacing: Pacing;
  #current: RebuildProgress | null = null;
  #claim: { readonly after: number; readonly until: number } | null = null;
  #delayMs = 0;
  #healed = 0;
  #failed = 0;
  readonly #drops: CopyDrops;

  constructor(options: RebuildsOptions) {
    this.#options = options;
    this.#pacing = new Pacing(options.clock, options.bytesPerSecond);
    this.#drops = new CopyDrops(options);
  }

  /** For operators. */
  get status(): {
    readonly current: RebuildProgress | null;
    readonly healed: number;
    readonly failed: number;
    readonly waiting: readonly { node: string; shard: string; failures: number; reason: string }[];
  } {
    const waiting = [...this.#waiting.values()].map(({ node, shard, failures, reason }) => ({
      node,
      shard,
      failures,
      reason,
    }));
    return { current: this.#current, healed: this.#healed, failed: this.#failed, waiting };
  }

  /** LSN after which the copy in progress needs the log; null when none does. */
  get claim(): number | null {
    const { clock } = this.#options;
    return this.#claim !== null && clock.monotonic() < this.#claim.until ? this.#claim.after : null;
  }

  /** How long appends are delayed so that the copy in progress can end, ms. */
  get appendDelayMs(): number {
    return this.#delayMs;
  }

  /** Rebuilds until the term is over. Never throws. */
  async run(term: Term): Promise<void> {
    const { clock, logger } = this.#options;
    const resumeAt = clock.monotonic() + RESUME_AFTER_MS;
    this.#waiting.clear();
    this.#drops.begin();
    let isIdle = true;
    while (!term.signal.aborted) {
      await sleep(clock, isIdle ? INTERVAL_MS : 0, term.signal);
      isIdle = true;
      if (!term.held()) continue;
      try {
        await this.#drops.sweep(term, clock.monotonic() >= resumeAt);
        const job = this.#next();
        if (job !== null) isIdle = !(await this.#attempt(job, term, resumeAt));
      } catch (error) {
        if (!(error instanceof TermOver)) logger.warn({ error: String(error) }, 'rebuild interrupted');
      }
    }
  }

  /** The next suspect copy that can be rebuilt; null when there is none. */
  #next(): Job | null {
    const { nodes, catalog, clock } = this.#options;
    const suspects = nodes().flatMap((node) =>
      catalog.suspectShards(node.id).map((shard) => ({ node, shard })),
    );
    const current = new Set(suspects.map(({ node, shard }) => keyOf(node.id, shard)));
    for (const key of this.#waiting.keys()) if (!current.has(key)) this.#waiting.delete(key);
    for (const { node, shard } of suspects) {
      const waiting = this.#waiting.get(keyOf(node.id, shard));
      if (!node.follows() || (waiting?.nextAt ?? 0) > clock.monotonic()) continue;
      const collection = catalog.collectionOfShard(shard);
      if (collection?.state !== 'ready') continue;
      const donor = this.#donorOf(shard, node.id);
      if (typeof donor !== 'string') return { node, shard, collection, donor };
      this.#wait({ node, shard }, donor);
    }
    return null;
  }

  /** A replica if possible: writes wait for the primary. Otherwise why there is none. */
  #donorOf(shard: string, target: string): RebuildNode | string {
    const { nodes, catalog, primary } = this.#options;
    const healthy = nodes().filter(
      (node) => node.id !== target && node.follows() && catalog.isHealthy(node.id, shard),
    );
    if (healthy.length === 0) return 'no other node has a healthy copy of it';
    const able = healthy.filter((node) => !node.awaitsRecheck());
    const donor = able.find(({ id }) => id !== primary()) ?? able[0];
    return donor ?? 'a call that was repeated may still change the other copies';
  }

  /** Whether the copy was healed. */
  async #attempt(job: Job, term: Term, resumeAt: number): Promise<boolean> {
    const { logger, clock, events } = this.#options;
    const { node, shard, collection, donor } = job;
    const subject = { node: node.id, collection: collection.id, donor: donor.id };
    const since = clock.now();
    const begun = { node: node.id, shard, collection: collection.id, donor: donor.id, since };
    this.#current = { ...begun, phase: 'creating', done: 0, total: 0 };
    logger.info(subject, 'rebuild started');
    try {
      await this.#rebuild(job, term, resumeAt);
      this.#waiting.delete(keyOf(node.id, shard));
      this.#options.damaged.healed(node.id, shard);
      this.#healed += 1;
      logger.info({ ...subject, ms: clock.now() - since }, 'rebuild completed');
      events.record('shard_healed', subject);
      return true;
    } catch (error) {
      if (error instanceof TermOver || term.signal.aborted) throw new TermOver();
      this.#failed += 1;
      this.#wait(job, error instanceof Error ? error.message : String(error));
      const isNodeFault = error instanceof CopyFailed && error.isNodeFault;
      if (isNodeFault) this.#options.damaged.failed(node.id, shard, error.message);
      const { failures, reason } = this.#waiting.get(keyOf(node.id, shard)) as WaitingRebuild;
      logger.warn({ ...subject, failures, reason }, 'rebuild failed');
      return false;
    } finally {
      this.#current = null;
      this.#claim = null;
      this.#delayMs = 0;
    }
  }

  #wait({ node, shard }: Pick<Job, 'node' | 'shard'>, reason: string): void {
    const key = keyOf(node.id, shard);
    const failures = (this.#waiting.get(key)?.failures ?? 0) + 1;
    const pauseMs = Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(failures - 1, 20));
    const nextAt = this.#options.clock.monotonic() + pauseMs;
    this.#waiting.set(key, { node: node.id, shard, failures, nextAt, reason });
  }

  async #rebuild(job: Job, term: Term, resumeAt: number): Promise<void> {
    const { node, shard, collection, donor } = job;
    const { copies, catalog, clock, log, decisions, idsMax, primary } = this.#options;
    const source = catalog.physical(donor.id, shard);
    if (source === null) throw new DonorFailed(`${donor.id} has no copy`);
    const creation = new CopyCreation({ ...this.#options, held: () => term.held() });
    const left = await this.#leftOver(job, term, resumeAt);
    const place = { tenant: collection.tenant, database: collection.database };
    const donorCopy = { ...place, ...source };
    const created = await creation.copyOf({ ...job, source: donorCopy, left }, term);
    const { copy, rule } = created;
    this.#claim = { after: copy.fromLSN, until: clock.monotonic() + CLAIM_MS_MAX };
    const shardCopy = new ShardCopier({
      donor,
      isPrimaryDonor: donor.id === primary(),
      shard,
      source: donorCopy,
      node,
      target: new CopyTarget({ client: node.client, location: copy, rule, idsMax, clock, term }),
      touched: new CopyDelta({
        shard,
        collection: collection.id,
        log,
        decisions,
        after: copy.fromLSN,
      }),
      clock,
      signal: term.signal,
      pace: (bytes, signal) => this.#pacing.pace(bytes, signal),
      onFallingBehind: (touched) => {
        this.#delayMs =
          touched === null ? 0 : Math.min(DELAY_MAX_MS, Math.max(DELAY_FIRST_MS, this.#delayMs * 2));
      },
      onProgress: (phase, done, total) => {
        if (this.#current !== null) this.#current = { ...this.#current, phase, done, total };
      },
      complete: (lsn) => this.#complete(job, { copy, lsn }, term),
    });
    try {
      await shardCopy.run();
    } catch (error) {
      // What a donor or the log caused leaves the copy as it is: it is resumed, from another donor if need be.
      const isKept = error instanceof DonorFailed || error instanceof TermOver || term.signal.aborted;
      if (!isKept) await copies.abandon(term.epoch, copy, (error as Error).message);
      throw error;
    }
  }

  /** What an interrupted rebuild of the copy left, if it can be resumed. */
  async #leftOver({ node, shard }: Job, term: Term, resumeAt: number): Promise<AsideCopy | null> {
    const { copies, clock } = this.#options;
    const aside = await copies.aside(node.id);
    const left = aside.find((each) => each.state === 'building' && each.shard === shard);
    if (left === undefined) return null;
    if (clock.monotonic() < resumeAt) throw new Error('calls of an earlier leader may still be in progress');
    if (left.abandoned === null) return left;
    await this.#drops.drop(left, node, term);
    return null;
  }

  /** R28: the marker first, then its record, then the swap. */
  async #complete(job: Job, { copy, lsn }: { copy: AsideCopy; lsn: number }, term: Term): Promise<void> {
    const { copies, catalog, forget, logger } = this.#options;
    const { node, shard, donor } = job;
    if (!catalog.isHealthy(donor.id, shard)) throw new DonorFailed(`the copy of ${donor.id} became suspect`);
    if (donor.awaitsRecheck()) throw new DonorFailed(`a call to ${donor.id} was repeated meanwhile`);
    await node.writeCopyNumber(copy.copy, term);
    crashPoint('copy_marked');
    await copies.marked(term.epoch, node.id, copy.copy);
    crashPoint('swap_before');
    if (!(await copies.swap(term.epoch, copy, lsn))) throw new CopyOutdated('the copy is no longer wanted');
    crashPoint('swap_after');
    // What was cached came from other copies, and stays true; what is in flight may come from the old one.
    forget();
    await catalog.refresh().catch((error: unknown) => {
      logger.warn({ error: String(error) }, 'catalog not refreshed');
    });
  }
}

function keyOf(node: string, shard: string): string {
  return mapKey(`${node} ${shard}`);
}
