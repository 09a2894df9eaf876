// Why the log cannot be continued: it has lost its last entries, or a node stands before a damaged one.

import type { CurrentTerm } from '../coordination/current-term.ts';
import type { LogDamaged } from '../log/entry.ts';
import { follows } from '../nodes/node-state.ts';
import type { EventSink } from '../observability/events.ts';
import type { Logger } from '../util/logger.ts';
import type { Followers } from './follower.ts';

export interface HaltStateOptions {
  readonly followers: Pick<Followers, 'all'>;
  readonly current: CurrentTerm;
  readonly events: EventSink;
  readonly logger: Logger;
}

export class HaltState {
  readonly #options: HaltStateOptions;
  #rewound: string | null = null;
  /** By node: the damaged entry its applier stands before. */
  readonly #damaged = new Map<string, LogDamaged>();

  constructor(options: HaltStateOptions) {
    this.#options = options;
  }

  /** For clients and operators; null while the log can be continued. */
  get reason(): string | null {
    if (this.#rewound !== null) return this.#rewound;
    for (const { member, applier } of this.#options.followers.all()) {
      const damage = this.#damaged.get(member.id);
      if (damage === undefined) continue;
      const isAway = member.state === 'joining' || member.state === 'down';
      const isBeforeDamage = follows(member.state) && applier.checkpoint < damage.lsn;
      if (isAway || isBeforeDamage) return damage.message;
    }
    return null;
  }

  /** The log ends before what was seen of it. Not taken back before this gateway is restarted. */
  get isRewound(): boolean {
    return this.#rewound !== null;
  }

  /** A node, or this gateway, has seen more of the log than there is now: acknowledged writes are lost. */
  rewound(reason: string): void {
    if (this.#rewound !== null) return;
    this.#rewound = reason;
    this.#options.current.end();
    this.#options.logger.error({ reason }, 'log lost its last entries: no writes until an operator decides');
    this.#options.events.record('log_halted', { cause: 'rewound', reason });
  }

  /** A node cannot be used, or go on, because of an entry of the log. */
  damaged(node: string, damage: LogDamaged): void {
    if (this.#damaged.get(node)?.lsn !== damage.lsn) {
      const { lsn, message } = damage;
      this.#options.logger.error({ node, lsn }, message);
      this.#options.events.record('log_halted', { node, cause: 'damaged', lsn, reason: message });
    }
    this.#damaged.set(node, damage);
  }

  /** Forgets damage that its node has gone past since: the entry was repaired. */
  forgetRepaired(): void {
    for (const { member, applier } of this.#options.followers.all()) {
      const damage = this.#damaged.get(member.id);
      const isPassed = damage !== undefined && applier.checkpoint >= damage.lsn;
      if (isPassed && follows(member.state)) this.#damaged.delete(member.id);
    }
  }
}
