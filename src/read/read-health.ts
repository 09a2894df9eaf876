// How each node has responded to reads of late: its latency, and whether its circuit is open because reads fail there that
// succeed elsewhere.
//
//   closed ──failures in a row──▶ open ──pause is over──▶ half-open ──one read succeeds──▶ closed
//                                  ▲                          │
//                                  └────── it fails ──────────┘

import type { Metric } from '../observability/metrics-registry.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';

export interface ReadHealthOptions {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

interface NodeHealth {
  /** Exponentially weighted, ms. */
  latencyMs: number;
  measuredAt: number;
  failuresInRow: number;
  /** While open: when one read may test it, clock.monotonic() ms; null while closed. */
  openUntil: number | null;
  pauseMs: number;
  /** The read that tests it is in flight. */
  isTested: boolean;
}

// One failure may be chance, and the read has been repeated elsewhere; five in a row are not.
const FAILURES_MAX = 5;
// A process restarts in about a second; one that stays broken is tested less and less often.
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
/** Weight of the newest measurement: about the last ten count. */
const NEWEST = 0.2;
// Without reads a measurement loses half of its weight in this time, so that a node that was slow once is tried again.
const HALF_LIFE_MS = 5_000;

export class ReadHealth {
  readonly #options: ReadHealthOptions;
  /** Nodes that were removed are few, and stay. */
  readonly #nodes = new Map<string, NodeHealth>();

  constructor(options: ReadHealthOptions) {
    this.#options = options;
  }

  get metrics(): readonly Metric[] {
    const help = 'Nodes that get no reads while others can serve them, because reads failed there.';
    const read = (): number => [...this.#nodes.values()].filter(({ openUntil }) => openUntil !== null).length;
    return [{ kind: 'gauge', name: 'open_circuits', help, unit: 'nodes', read }];
  }

  /** Recent duration of a read on the node, ms; 0 when nothing recent is known. */
  latencyMs(id: string): number {
    const node = this.#nodes.get(id);
    if (node === undefined) return 0;
    return node.latencyMs * 0.5 ** ((this.#options.clock.monotonic() - node.measuredAt) / HALF_LIFE_MS);
  }

  /** Whether reads should go elsewhere if they can. False once the pause is over, until one read tests the node. */
  isOpen(id: string): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || node.openUntil === null) return false;
    return node.isTested || this.#options.clock.monotonic() < node.openUntil;
  }

  /** A read is being sent to the node. */
  sent(id: string): void {
    const node = this.#nodes.get(id);
    if (node !== undefined && node.openUntil !== null) node.isTested = true;
  }

  /** The node responded, after so many ms. */
  succeeded(id: string, tookMs: number): void {
    const node = this.#node(id);
    const before = this.latencyMs(id);
    node.latencyMs = before === 0 ? tookMs : before + NEWEST * (tookMs - before);
    node.measuredAt = this.#options.clock.monotonic();
    node.failuresInRow = 0;
    if (node.openUntil === null) return;
    Object.assign(node, { openUntil: null, pauseMs: PAUSE_MIN_MS, isTested: false });
    this.#options.logger.info({ node: id }, 'circuit closed: the node serves reads again');
  }

  /** A read failed on the node, and succeeded on another one or got no response. */
  failed(id: string): void {
    const node = this.#node(id);
    node.failuresInRow += 1;
    if (node.openUntil !== null) node.pauseMs = Math.min(PAUSE_MAX_MS, node.pauseMs * 2);
    else if (node.failuresInRow < FAILURES_MAX) return;
    else
      this.#options.logger.warn({ node: id }, 'circuit opened: reads fail on the node and succeed elsewhere');
    node.openUntil = this.#options.clock.monotonic() + node.pauseMs;
    node.isTested = false;
  }

  /** A read ended without saying anything about the node: its client disconnected. */
  ended(id: string): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.isTested = false;
  }

  #node(id: string): NodeHealth {
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const node = {
      latencyMs: 0,
      measuredAt: 0,
      failuresInRow: 0,
      openUntil: null,
      pauseMs: PAUSE_MIN_MS,
      isTested: false,
    };
    this.#nodes.set(id, node);
    return node;
  }
}
