// A cluster whose positions and suspicions a test sets.

import type { ClusterView } from '../../src/coordination/cluster-view.ts';
import type { PolychromeError } from '../../src/errors.ts';
import { Notifier } from '../../src/util/notifier.ts';

export class FakeClusterView implements ClusterView {
  primaryNode: string | null = null;
  refusal: PolychromeError | null = null;
  readonly changed = new Notifier();
  readonly #applied = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  readonly #suspects = new Set<string>();

  /** The node has applied everything up to `lsn`, or everything of the shard. */
  apply(node: string, lsn: number, shard?: string): void {
    this.#applied.set(keyOf(node, shard), lsn);
    this.changed.notify();
  }

  /** A call with entries of the shard up to `lsn` is in flight on the node. */
  send(node: string, lsn: number, shard: string): void {
    this.#sent.set(keyOf(node, shard), lsn);
  }

  suspect(node: string, shard: string): void {
    this.#suspects.add(keyOf(node, shard));
  }

  writable(): PolychromeError | null {
    return this.refusal;
  }

  primary(): string | null {
    return this.primaryNode;
  }

  applied(node: string, shard?: string): number {
    const ofNode = this.#applied.get(keyOf(node)) ?? 0;
    return Math.max(ofNode, this.#applied.get(keyOf(node, shard)) ?? 0);
  }

  mayHaveApplied(node: string, shard: string): number {
    return Math.max(this.applied(node, shard), this.#sent.get(keyOf(node, shard)) ?? 0);
  }

  isSuspect(node: string, shard: string): boolean {
    return this.#suspects.has(keyOf(node, shard));
  }

  reached(): Promise<void> {
    return Promise.resolve();
  }
}

const keyOf = (node: string, shard = ''): string => `${node} ${shard}`;
