// How far each node has applied the log, in memory and ahead of its durable checkpoint (checkpoints.ts): decides which
// reads a node may serve and which writes may be acknowledged.

import type { AckLevel, EntryRef } from '../coordination/cluster-view.ts';
import type { Metric } from '../observability/metrics-registry.ts';
import { Notifier } from '../util/notifier.ts';
import { onAbort } from '../util/race.ts';

interface NodePosition {
  /** Everything up to here is applied. */
  applied: number;
  /** Shards that are ahead of `applied`, within the round in flight. */
  ahead: Map<string, number>;
  /** Entries above `applied` that the node has responded to with success; its process may have been replaced since. */
  confirmed: Set<number>;
  /** Of shards with entries above `applied` that were sent to the node: the last of them. */
  sent: Map<string, number>;
  /** The last entry of any shard that an earlier leader may have sent. */
  sentEarlier: number;
}

interface AckWaiter {
  readonly lsn: number;
  /** Null also once the entry is discarded. */
  shard: string | null;
  readonly level: AckLevel;
  /** Nodes that applied or skipped the entry. */
  readonly past: Set<string>;
  /** Those of them that skipped it. */
  readonly skippedBy: Set<string>;
  readonly resolve: () => void;
}

export class Positions {
  readonly #nodes = new Map<string, NodePosition>();
  /** By LSN; one entry may have several waiters: its writer, and requests that need the name it creates. */
  readonly #waiters = new Map<number, Set<AckWaiter>>();
  #primary: string | null = null;
  #members: readonly string[] = [];
  readonly #isSuspect: (node: string, shard: string) => boolean;
  /** Notified when a node has applied more. */
  readonly moved = new Notifier();

  /** `isSuspect`: whether a node's copy of the shard is suspect; such a copy counts for no acknowledgement (I3). */
  constructor(isSuspect: (node: string, shard: string) => boolean) {
    this.#isSuspect = isSuspect;
  }

  /** Writes that wait for their acknowledgement. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }

  /** LSNs of the entries that writes wait for. */
  awaited(): number[] {
    return [...this.#waiters.keys()];
  }

  get metrics(): readonly Metric[] {
    const help = 'Durable writes that wait to be acknowledged.';
    return [{ kind: 'gauge', name: 'waiting', help, unit: 'writes', read: () => this.waiting }];
  }

  /** Members count for `quorum` and `all`, dead or alive; the primary for `primary`. */
  setCluster(members: readonly string[], primary: string | null): void {
    this.#members = members;
    this.#primary = primary;
    for (const waiter of [...this.#waiters.values()].flatMap((waiters) => [...waiters])) {
      this.#settle(this.#updated(waiter));
    }
  }

  /** The node that decides; null before one is chosen. */
  get primary(): string | null {
    return this.#primary;
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

  /** LSN up to which the node may have applied entries of the shard: those that were sent to it included. */
  mayHaveApplied(node: string, shard: string): number {
    const position = this.#nodes.get(node);
    if (position === undefined) return 0;
    return Math.max(this.appliedTo(node, shard), position.sent.get(shard) ?? 0, position.sentEarlier);
  }

  /** A call of an earlier leader, with entries up to `lsn`, may still be executed: reads may show them at any time. */
  mayBeExecuting(node: string, lsn: number): void {
    const position = this.#position(node);
    position.sentEarlier = Math.max(position.sentEarlier, lsn);
  }

  /** Called before entries of the shard, the last of them at `lsn`, are sent to the node: reads may show them. */
  sending(node: string, shard: string, lsn: number): void {
    const { sent } = this.#position(node);
    sent.set(shard, Math.max(lsn, sent.get(shard) ?? 0));
  }

  /** A call for this shard succeeded: its entries, up to the last of `lsns`, are applied on the node. */
  shardApplied(node: string, shard: string, lsns: readonly number[]): void {
    const last = lsns.at(-1);
    if (last === undefined) return;
    const position = this.#position(node);
    position.ahead.set(shard, last);
    for (const lsn of lsns) {
      position.confirmed.add(lsn);
      this.#markPast(node, lsn);
    }
    this.moved.notify();
  }

  /** A call of an earlier term succeeded late: its entries are applied, although the round will be repeated. */
  lateApplied(node: string, lsns: readonly number[]): void {
    const position = this.#position(node);
    for (const lsn of lsns) {
      if (lsn > position.applied) position.confirmed.add(lsn);
      this.#markPast(node, lsn);
    }
  }

  /** Whether the node has applied or skipped the entry. */
  hasApplied(node: string, lsn: number, shard: string): boolean {
    return this.appliedTo(node, shard) >= lsn || this.#nodes.get(node)?.confirmed.has(lsn) === true;
  }

  /** Whether another node has applied or skipped the entry; `onHealthy`: on a copy of the shard that is not suspect. */
  isAppliedElsewhere(node: string, lsn: number, at: { shard: string; onHealthy: boolean }): boolean {
    return this.#members.some(
      (other) =>
        other !== node &&
        this.hasApplied(other, lsn, at.shard) &&
        !(at.onHealthy && this.#isSuspect(other, at.shard)),
    );
  }

  /** The node's process may be a new one: only what was checkpointed is known to be there. */
  restarted(node: string, checkpoint: number): void {
    const position = this.#position(node);
    position.applied = Math.min(position.applied, checkpoint);
    position.ahead.clear();
    this.#unmarkPast(node, position.applied);
  }

  /** The node has left, or begins again without content. */
  forget(node: string): void {
    this.#nodes.delete(node);
    this.#unmarkPast(node, 0);
  }

  /** The node skips this entry: it lacks the shard that the entry changes. */
  nodeSkipped(node: string, lsn: number): void {
    for (const waiter of this.#waiters.get(lsn) ?? []) waiter.skippedBy.add(node);
  }

  /** The entry was refused or quarantined: it has no effect that a node could lack. */
  discarded(lsn: number): void {
    for (const waiter of this.#waiters.get(lsn) ?? []) {
      waiter.shard = null;
      this.#settle(waiter);
    }
  }

  /** The node has applied or skipped everything up to `lsn`. */
  nodeApplied(node: string, lsn: number): void {
    const position = this.#position(node);
    const from = position.applied;
    position.applied = Math.max(from, lsn);
    position.ahead.clear();
    for (const each of position.confirmed) if (each <= position.applied) position.confirmed.delete(each);
    for (const [shard, each] of position.sent) if (each <= position.applied) position.sent.delete(shard);
    // Not every LSN in between: a gateway that begins to follow may go on by millions.
    for (const each of this.#waiters.keys()) if (each > from && each <= lsn) this.#markPast(node, each);
    this.moved.notify();
  }

  /**
   * Resolves once the level is reached for the entry, or `signal` aborts. Call it before any node can apply the entry.
   */
  reached({ lsn, shard }: EntryRef, level: AckLevel, signal: AbortSignal): Promise<void> {
    if (level === 'log' || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(lsn) ?? new Set();
      const done = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiters.delete(lsn);
        unsubscribe();
        resolve();
      };
      const waiter: AckWaiter = { lsn, shard, level, past: new Set(), skippedBy: new Set(), resolve: done };
      this.#waiters.set(lsn, waiters.add(waiter));
      const unsubscribe = onAbort(signal, done);
      this.#settle(this.#updated(waiter));
    });
  }

  #markPast(node: string, lsn: number): void {
    for (const waiter of this.#waiters.get(lsn) ?? []) {
      waiter.past.add(node);
      this.#settle(waiter);
    }
  }

  /** I3: writes after `lsn` that still wait no longer count the node, which may have lost them; it applies them again. */
  #unmarkPast(node: string, lsn: number): void {
    for (const waiter of [...this.#waiters.values()].flatMap((waiters) => [...waiters])) {
      if (waiter.lsn <= lsn) continue;
      waiter.past.delete(node);
      waiter.skippedBy.delete(node);
    }
  }

  /** The waiter, with the members that are past its entry by now. */
  #updated(waiter: AckWaiter): AckWaiter {
    for (const node of this.#members) if (this.applied(node) >= waiter.lsn) waiter.past.add(node);
    return waiter;
  }

  #settle({ level, shard, past, skippedBy, resolve }: AckWaiter): void {
    const primary = this.#primary;
    // Evaluated now: a copy that became suspect since it applied the entry may lack it.
    const has = (node: string): boolean =>
      past.has(node) && !skippedBy.has(node) && (shard === null || !this.#isSuspect(node, shard));
    const count = this.#members.filter(has).length;
    const reached =
      level === 'primary'
        ? // When the primary's copy is suspect, any other that has the entry counts: reads are served there.
          primary !== null && past.has(primary) && (has(primary) || count > 0)
        : level === 'quorum'
          ? count * 2 > this.#members.length
          : // A gateway that has just started knows no members yet.
            count > 0 && count === this.#members.length;
    if (reached) resolve();
  }

  #position(node: string): NodePosition {
    let position = this.#nodes.get(node);
    if (position === undefined) {
      position = { applied: 0, ahead: new Map(), confirmed: new Set(), sent: new Map(), sentEarlier: 0 };
      this.#nodes.set(node, position);
    }
    return position;
  }
}
