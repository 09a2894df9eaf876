// How far each node is, as known in memory the moment an answer arrives: what reads may be sent where, and which
// writes may be acknowledged. The durable number per node is its checkpoint (checkpoints.ts); this runs ahead of it.

import { Notifier } from '../util/notifier.ts';

/** What a write waits for beyond being durable. */
export type AckLevel = 'log' | 'primary' | 'quorum' | 'all';

interface NodePosition {
  /** Everything up to here is applied. */
  applied: number;
  /** Shards that are further than `applied`, within the round under way. */
  ahead: Map<string, number>;
}

interface Waiter {
  readonly lsn: number;
  readonly level: AckLevel;
  readonly appliedBy: Set<string>;
  /** Nodes whose shard is suspect: past the entry, without having it. */
  readonly passedBy: Set<string>;
  readonly resolve: () => void;
}

export class Positions {
  readonly #nodes = new Map<string, NodePosition>();
  /** By LSN; several may wait for one: who wrote it, and whoever it stands in the way of. */
  readonly #waiters = new Map<number, Set<Waiter>>();
  #primary: string | null = null;
  #members: readonly string[] = [];
  /** Notified whenever a node has moved on. */
  readonly moved = new Notifier();

  /** Writes that wait to be acknowledged. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }

  /** LSNs that somebody waits for. */
  awaited(): number[] {
    return [...this.#waiters.keys()];
  }

  /** Members count for `quorum` and `all`, dead or alive; the primary for `primary`. */
  setCluster(members: readonly string[], primary: string | null): void {
    this.#members = members;
    this.#primary = primary;
    for (const waiter of [...this.#waiters.values()].flatMap((waiters) => [...waiters])) {
      for (const node of members) {
        if (this.applied(node) >= waiter.lsn && !waiter.passedBy.has(node)) waiter.appliedBy.add(node);
      }
      this.#settle(waiter);
    }
  }

  /** LSN up to which the node has applied everything. */
  applied(node: string): number {
    return this.#nodes.get(node)?.applied ?? 0;
  }

  /** LSN up to which the node has applied everything of this shard. */
  appliedTo(node: string, shard: string): number {
    const position = this.#nodes.get(node);
    if (position === undefined) return 0;
    return Math.max(position.applied, position.ahead.get(shard) ?? 0);
  }

  /** A call for this shard was answered: its entries, up to the last of `lsns`, are applied there. */
  shardApplied(node: string, shard: string, lsns: readonly number[]): void {
    const last = lsns.at(-1);
    if (last === undefined) return;
    this.#position(node).ahead.set(shard, last);
    for (const lsn of lsns) this.#confirm(node, lsn);
    this.moved.notify();
  }

  /** The node's process may be a new one: what it surely has is what was checkpointed; the rest is applied again. */
  restarted(node: string, checkpoint: number): void {
    const position = this.#position(node);
    position.applied = Math.min(position.applied, checkpoint);
    position.ahead.clear();
  }

  /** The node has gone past these entries without taking them, their shard being suspect there. */
  nodePassed(node: string, lsns: readonly number[]): void {
    for (const lsn of lsns) {
      for (const waiter of this.#waiters.get(lsn) ?? []) {
        waiter.passedBy.add(node);
        waiter.appliedBy.delete(node);
        this.#settle(waiter);
      }
    }
  }

  /** The node has applied everything up to `lsn`, but for what it passed. */
  nodeApplied(node: string, lsn: number): void {
    const position = this.#position(node);
    const from = position.applied;
    position.applied = Math.max(from, lsn);
    position.ahead.clear();
    for (let each = from + 1; each <= lsn && this.#waiters.size > 0; each++) this.#confirm(node, each);
    this.moved.notify();
  }

  /**
   * Resolves once the level is reached for the entry, or `signal` aborts. Call it before anybody can apply the entry.
   */
  reached(lsn: number, level: AckLevel, signal: AbortSignal): Promise<void> {
    if (level === 'log' || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(lsn) ?? new Set();
      const done = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiters.delete(lsn);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const waiter: Waiter = { lsn, level, appliedBy: new Set(), passedBy: new Set(), resolve: done };
      for (const node of this.#members) if (this.applied(node) >= lsn) waiter.appliedBy.add(node);
      this.#waiters.set(lsn, waiters.add(waiter));
      signal.addEventListener('abort', done, { once: true });
      this.#settle(waiter);
    });
  }

  #confirm(node: string, lsn: number): void {
    for (const waiter of this.#waiters.get(lsn) ?? []) {
      if (waiter.passedBy.has(node)) continue;
      waiter.appliedBy.add(node);
      this.#settle(waiter);
    }
  }

  #settle(waiter: Waiter): void {
    const { level, appliedBy, passedBy } = waiter;
    const primary = this.#primary;
    const count = this.#members.filter((node) => appliedBy.has(node)).length;
    const reached =
      level === 'primary'
        ? // Where the primary cannot have it, any other that has it stands in: reads of it are answered there.
          primary !== null && (appliedBy.has(primary) || (passedBy.has(primary) && count > 0))
        : level === 'quorum'
          ? count * 2 > this.#members.length
          : count === this.#members.length;
    if (reached) waiter.resolve();
  }

  #position(node: string): NodePosition {
    let position = this.#nodes.get(node);
    if (position === undefined) {
      position = { applied: 0, ahead: new Map() };
      this.#nodes.set(node, position);
    }
    return position;
  }
}
