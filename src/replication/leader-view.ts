// The cluster as this gateway sees it: from the memory of what it drives itself, or from what another one that leads has
// recorded (cluster-feed.ts).

import type { AckLevel, ClusterView, EntryRef } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { Knowledge } from '../coordination/knowledge.ts';
import type { Notifier } from '../util/notifier.ts';
import type { Leader } from './leader.ts';
import type { Positions } from './positions.ts';

export interface LeaderViewOptions {
  readonly leader: Pick<Leader, 'halted' | 'primary'>;
  readonly positions: Positions;
  readonly isSuspect: (node: string, shard: string) => boolean;
  readonly knowledge: Pick<Knowledge, 'refusal' | 'isCurrent'>;
  /** Why the log is known to have lost its last entries; null while it has not. */
  readonly rewound: () => string | null;
  /** Called before something waits for nodes to apply more. */
  readonly onAwaited: () => void;
}

export class LeaderView implements ClusterView {
  readonly #options: LeaderViewOptions;

  constructor(options: LeaderViewOptions) {
    this.#options = options;
  }

  writable(): PolychromeError | null {
    const { leader, knowledge, rewound } = this.#options;
    const halted = leader.halted ?? rewound();
    if (halted !== null) {
      return new PolychromeError('log_unavailable', `No writes: ${halted}. An operator has to decide.`);
    }
    // The log accepts entries of every gateway; the one that leads has the nodes apply them.
    return knowledge.isCurrent ? null : (knowledge.refusal() ?? unreachable());
  }

  primary(): string | null {
    return this.#options.leader.primary.node;
  }

  applied(node: string, shard?: string): number {
    const { positions } = this.#options;
    return shard === undefined ? positions.applied(node) : positions.appliedTo(node, shard);
  }

  mayHaveApplied(node: string, shard: string): number {
    return this.#options.positions.mayHaveApplied(node, shard);
  }

  isSuspect(node: string, shard: string): boolean {
    return this.#options.isSuspect(node, shard);
  }

  reached(entry: EntryRef, level: AckLevel, signal: AbortSignal): Promise<void> {
    this.#options.onAwaited();
    return this.#options.positions.reached(entry, level, signal);
  }

  get changed(): Notifier {
    this.#options.onAwaited();
    return this.#options.positions.moved;
  }
}

const unreachable = (): PolychromeError =>
  new PolychromeError(
    'not_leader',
    'No writes while PostgreSQL does not respond; nothing was changed. Try again.',
  );
