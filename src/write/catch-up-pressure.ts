// Limits appends while a node catches up and does not come closer to the head: a node that is no faster than the primary
// would otherwise never catch up under writes that keep the primary busy.

import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import { sleep } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

/** A node that catches up. */
export interface CatchingUpNode {
  readonly id: string;
  /** LSN up to which it has applied everything. */
  readonly applied: number;
}

export interface CatchUpPressureOptions {
  /** Nodes that apply the log and do not serve yet. */
  readonly catchingUp: () => readonly CatchingUpNode[];
  readonly head: () => number;
  /** How long a write may wait for its turn, ms. */
  readonly waitMsMax: number;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

// Several rounds of a busy node, and as long as a node may be behind and count as caught up.
const WINDOW_MS = 5_000;
// A long call moves the node only at its end.
const WINDOW_MS_MAX = 30_000;
// One window may hold a pause of the node.
const BEHIND_WINDOWS = 2;
// A node at this multiple of the append rate has caught up after four times the time of its backlog.
const PROGRESS_MIN = 1.25;
const PROGRESS_AMPLE = 2;
const STEP = 0.8;
// A node that cannot follow at half the rate is too slow for the others, and stays behind.
const SHARE_MIN = 0.5;
// A minute at the lowest rate: then the node is not what appends wait for.
const FUTILE_MS = 60_000;

interface Window {
  readonly from: number;
  readonly head: number;
  readonly applied: ReadonlyMap<string, number>;
}

/** Work per ms. */
interface Limit {
  readonly full: number;
  readonly rate: number;
}

type Approach = 'behind' | 'closing' | 'ample';

export class CatchUpPressure {
  readonly #options: CatchUpPressureOptions;
  #window: Window | null = null;
  /** Work of the writes that were let through since the window began. */
  #work = 0;
  #limit: Limit | null = null;
  /** When the next write may pass, clock.monotonic() ms. */
  #nextAt = 0;
  /** Successive windows in which a node fell behind. */
  readonly #behind = new Map<string, number>();
  /** How long it did at the lowest rate. */
  readonly #futileMs = new Map<string, number>();

  constructor(options: CatchUpPressureOptions) {
    this.#options = options;
  }

  /** The share of the append rate that is let through; 1: no limit. */
  get share(): number {
    return this.#limit === null ? 1 : this.#limit.rate / this.#limit.full;
  }

  get metrics(): readonly Metric[] {
    const help = 'Share of the append rate that is let through while a node catches up; 1 without a limit.';
    return [{ kind: 'gauge', name: 'share', help, unit: 'share', read: () => this.share }];
  }

  /** Waits for the turn of a write of so much work. */
  async turn(work: number, deadline: AbortSignal): Promise<void> {
    const { clock, waitMsMax } = this.#options;
    const now = clock.monotonic();
    this.#observe(now);
    if (this.#limit !== null && work > 0) {
      const at = Math.min(Math.max(now, this.#nextAt), now + waitMsMax);
      this.#nextAt = Math.min(at + work / this.#limit.rate, now + waitMsMax);
      if (at > now) await sleep(clock, at - now, deadline);
    }
    this.#work += work;
  }

  #observe(now: number): void {
    const { catchingUp, head } = this.#options;
    const before = this.#window;
    const elapsed = before === null ? 0 : now - before.from;
    if (before !== null && elapsed < WINDOW_MS) return;
    const nodes = catchingUp();
    if (before !== null && elapsed < WINDOW_MS_MAX && nodes.some((node) => stands(node, before))) return;
    const window = { head: head(), applied: new Map(nodes.map(({ id, applied }) => [id, applied])) };
    this.#window = { ...window, from: now };
    const rate = elapsed === 0 ? 0 : this.#work / elapsed;
    this.#work = 0;
    this.#forgetOthers(nodes);
    if (before === null || nodes.length === 0) return this.#release();
    const progress = nodes
      .filter(({ id }) => (this.#futileMs.get(id) ?? 0) < FUTILE_MS)
      .map((node) => this.#progressOf(node, before, elapsed));
    if (progress.length === 0) this.#release();
    else if (progress.includes('behind')) this.#tighten(rate, nodes, elapsed);
    else if (progress.every((each) => each === 'ample')) this.#loosen();
  }

  /** Behind only after several windows; until then nothing is known. */
  #progressOf({ id, applied }: CatchingUpNode, before: Window, elapsed: number): Approach {
    const head = this.#options.head();
    const appended = head - before.head;
    const progress = applied - (before.applied.get(id) ?? applied);
    const isClose = head - applied <= (appended * WINDOW_MS) / elapsed;
    if (isClose || progress >= PROGRESS_MIN * appended) {
      this.#behind.delete(id);
      this.#futileMs.delete(id);
      // One that is close serves soon, or waits for something else.
      return isClose || progress >= PROGRESS_AMPLE * appended ? 'ample' : 'closing';
    }
    // Its content is being verified, or it fails: fewer appends alone would not help.
    if (progress === 0 && this.#limit === null) return 'closing';
    const windows = (this.#behind.get(id) ?? 0) + 1;
    this.#behind.set(id, windows);
    return windows >= BEHIND_WINDOWS ? 'behind' : 'closing';
  }

  #tighten(rate: number, nodes: readonly CatchingUpNode[], elapsed: number): void {
    const { logger } = this.#options;
    const limit = this.#limit ?? { full: rate, rate };
    if (limit.full === 0) return;
    if (this.#limit === null)
      logger.info({ nodes: nodes.map(({ id }) => id) }, 'appends limited while a node catches up');
    const lowest = SHARE_MIN * limit.full;
    if (limit.rate <= lowest) this.#countFutile(elapsed);
    this.#limit = { ...limit, rate: Math.max(lowest, STEP * limit.rate) };
  }

  #countFutile(elapsed: number): void {
    for (const [id, behind] of this.#behind) {
      const before = this.#futileMs.get(id) ?? 0;
      if (behind < BEHIND_WINDOWS || before >= FUTILE_MS) continue;
      this.#futileMs.set(id, before + elapsed);
      if (before + elapsed >= FUTILE_MS)
        this.#options.logger.warn(
          { node: id },
          'node is too slow to catch up; appends no longer wait for it',
        );
    }
  }

  #loosen(): void {
    if (this.#limit === null) return;
    const rate = this.#limit.rate / STEP;
    if (rate >= this.#limit.full) this.#release();
    else this.#limit = { ...this.#limit, rate };
  }

  #release(): void {
    if (this.#limit !== null) this.#options.logger.info({}, 'appends no longer limited');
    this.#limit = null;
    this.#nextAt = 0;
  }

  /** A node that comes back later is another case. */
  #forgetOthers(nodes: readonly CatchingUpNode[]): void {
    const present = new Set(nodes.map(({ id }) => id));
    for (const known of [this.#behind, this.#futileMs])
      for (const id of known.keys()) if (!present.has(id)) known.delete(id);
  }
}

function stands({ id, applied }: CatchingUpNode, { applied: before }: Window): boolean {
  return before.get(id) === applied;
}
