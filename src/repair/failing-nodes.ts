// Notices nodes that run, and cannot work for good: their canary keeps failing, or they hang, or cannot read their marker. Each is
// restarted; one that still fails, and says that its files are damaged, is emptied and filled from the others.

import type { CanaryReport } from '../nodes/probe-result.ts';
import type { EventSink } from '../observability/events.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { saysDamaged } from './damage-evidence.ts';
import type { DamagedNodes } from './damaged-nodes.ts';

export interface FailingNodesOptions {
  /** Only the leader acts. */
  readonly isLeading: () => boolean;
  readonly restart: (node: string) => void;
  /** The node of this address; null when there is none. */
  readonly nodeAt: (url: string) => string | null;
  /** Examines a node that cannot work for this reason: what its server says of damage to its files; null: nothing. */
  readonly damageOf: (node: string, reason: string) => Promise<string | null>;
  readonly damaged: Pick<DamagedNodes, 'discard'>;
  readonly clock: Clock;
  readonly events: EventSink;
  readonly logger: Pick<Logger, 'error' | 'warn'>;
}

interface Failing {
  readonly since: number;
  failures: number;
  restartedAt: number | null;
  isExamined: boolean;
}

// Several canaries, over a time in which a server that has just started is ready.
const FAILURES_MIN = 3;
const FAILING_MS = 5_000;
// A server on an overloaded machine is slow for longer than that, and a restart would slow it down further.
const SILENT_MS = 30_000;
// A restarted server is ready within seconds.
const RESTARTED_MS = 10_000;
// As often as NODE_RESTART_COMMAND runs: a server that fails on a full disk goes on failing once there is room.
const RESTART_AGAIN_MS = 60_000;

export class FailingNodes {
  readonly #options: FailingNodesOptions;
  readonly #failing = new Map<string, Failing>();

  constructor(options: FailingNodesOptions) {
    this.#options = options;
  }

  /** The node's canary succeeded. */
  works(node: string): void {
    this.#failing.delete(node);
  }

  /** The node responded that it cannot work, or hangs, or its canary failed. */
  failed(node: string, { reason, isSilence }: CanaryReport): void {
    const { isLeading, clock } = this.#options;
    if (!isLeading()) return this.works(node);
    const now = clock.monotonic();
    const failing = this.#failing.get(node) ?? {
      since: now,
      failures: 0,
      restartedAt: null,
      isExamined: false,
    };
    this.#failing.set(node, failing);
    failing.failures += 1;
    if (failing.failures < FAILURES_MIN || now - failing.since < (isSilence ? SILENT_MS : FAILING_MS)) return;
    if (failing.restartedAt === null) return this.#restart(node, failing, reason);
    if (now - failing.restartedAt < RESTARTED_MS || failing.isExamined) return;
    failing.isExamined = true;
    void this.#examine(node, failing, reason).finally(() => (failing.isExamined = false));
  }

  /** The server at this address ends at each start. */
  ends(url: string, reason: string): void {
    const { isLeading, nodeAt, damaged } = this.#options;
    const node = nodeAt(url);
    if (node !== null && isLeading() && saysDamaged(reason) !== null) damaged.discard(node, reason);
  }

  #restart(node: string, failing: Failing, reason: string): void {
    const { restart, clock, events, logger } = this.#options;
    if (failing.restartedAt === null) {
      logger.error({ node, reason }, 'node runs and cannot work');
      events.record('node_failing', { node, reason });
    }
    failing.restartedAt = clock.monotonic();
    restart(node);
  }

  async #examine(node: string, failing: Failing, reason: string): Promise<void> {
    const { damageOf, damaged, clock, logger, isLeading } = this.#options;
    const damage = await damageOf(node, reason).catch((error: unknown) => {
      logger.warn({ node, error: String(error) }, 'failing node not examined');
      return null;
    });
    // It works again, or another gateway leads.
    if (this.#failing.get(node) !== failing || !isLeading()) return;
    if (damage !== null && damaged.discard(node, damage)) return this.works(node);
    const restartedAt = failing.restartedAt ?? -Infinity;
    if (clock.monotonic() - restartedAt >= RESTART_AGAIN_MS) this.#restart(node, failing, reason);
  }
}
