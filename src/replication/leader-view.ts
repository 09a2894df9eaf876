// The cluster as the leader sees it: from its own memory.

import type { AckLevel, ClusterView, EntryRef } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { Notifier } from '../util/notifier.ts';
import type { Leader } from './leader.ts';
import type { Positions } from './positions.ts';

export interface LeaderViewOptions {
  readonly leader: Pick<Leader, 'halted' | 'term' | 'primary'>;
  readonly positions: Positions;
  readonly isSuspect: (node: string, shard: string) => boolean;
}

export class LeaderView implements ClusterView {
  readonly #options: LeaderViewOptions;

  constructor(options: LeaderViewOptions) {
    this.#options = options;
  }

  writable(): PolychromeError | null {
    const { halted, term } = this.#options.leader;
    if (halted !== null) {
      return new PolychromeError('log_unavailable', `No writes: ${halted}. An operator has to decide.`);
    }
    if (term !== null) return null;
    return new PolychromeError(
      'not_leader',
      'This gateway does not lead at the moment; nothing was changed. Try again.',
    );
  }

  primary(): string | null {
    return this.#options.leader.primary.node;
  }

  applied(node: string, shard?: string): number {
    const { positions } = this.#options;
    return shard === undefined ? positions.applied(node) : positions.appliedTo(node, shard);
  }

  isSuspect(node: string, shard: string): boolean {
    return this.#options.isSuspect(node, shard);
  }

  reached(entry: EntryRef, level: AckLevel, signal: AbortSignal): Promise<void> {
    return this.#options.positions.reached(entry, level, signal);
  }

  get changed(): Notifier {
    return this.#options.positions.moved;
  }
}
