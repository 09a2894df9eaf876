// The nodes of the cluster: everything that concerns all of them asks here, and keeps no list of its own.

import { Notifier } from '../util/notifier.ts';
import { linkedAbort } from '../util/race.ts';
import type { Node } from './node.ts';

/** Generic in what the users of a registry need in addition to the node itself. */
export class NodeRegistry<Registered extends { readonly member: Node }> {
  #nodes: readonly Registered[] = [];
  /** Aborted when the node is removed. */
  readonly #removals = new Map<Registered, AbortController>();
  /** Counted nodes that were removed to be built anew: a level is not reached without them meanwhile (I3). */
  readonly #replaced = new Set<string>();
  /** Notified when a node was added or removed. */
  readonly changed = new Notifier();

  /** In the order in which they were added: the first is the preferred primary of an empty cluster. */
  all(): readonly Registered[] {
    return this.#nodes;
  }

  ids(): readonly string[] {
    return this.#nodes.map(({ member }) => member.id);
  }

  /** Those that count for the levels quorum and all, dead or alive. */
  counted(): readonly string[] {
    const counted = this.#nodes.filter(({ member }) => member.counts).map(({ member }) => member.id);
    return [...counted, ...this.#replaced];
  }

  /** Null when there is no such node. */
  find(id: string): Registered | null {
    return this.#nodes.find(({ member }) => member.id === id) ?? null;
  }

  /** Throws when there is no such node. */
  get(id: string): Registered {
    const found = this.find(id);
    if (found === null) throw new Error(`There is no node "${id}".`);
    return found;
  }

  /** Throws when there is a node of that id. */
  add(node: Registered): void {
    const { id } = node.member;
    if (this.find(id) !== null) throw new Error(`There are two nodes "${id}".`);
    this.#nodes = [...this.#nodes, node];
    this.#removals.set(node, new AbortController());
    this.#replaced.delete(id);
    this.changed.notify();
  }

  /** Ends everything that runs for the node; one that is replaced still counts. Throws when there is no such node. */
  remove(id: string, isReplaced = false): void {
    const node = this.get(id);
    if (isReplaced && node.member.counts) this.#replaced.add(id);
    this.#nodes = this.#nodes.filter((other) => other !== node);
    this.#removals.get(node)?.abort();
    this.#removals.delete(node);
    this.changed.notify();
  }

  /**
   * Runs `task` for each node, those added later included; its signal aborts when the node is removed or `signal` aborts.
   * Resolves when `signal` has aborted and every task has ended; rejects as soon as one fails.
   */
  async runForEach(
    task: (node: Registered, signal: AbortSignal) => Promise<unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    const running = new Map<Registered, Promise<void>>();
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => undefined); // also when nothing waits for it yet
    const start = (node: Registered): void => {
      const { controller, unlink } = linkedAbort(signal);
      const removal = this.#removals.get(node)?.signal;
      removal?.addEventListener('abort', () => controller.abort(), { once: true });
      const ended = Promise.resolve()
        .then(() => task(node, controller.signal))
        .then(() => undefined, failure.reject)
        .finally(() => {
          unlink();
          running.delete(node);
        });
      running.set(node, ended);
    };
    const started = new WeakSet<Registered>();
    while (!signal.aborted) {
      for (const node of this.#nodes) {
        if (started.has(node)) continue;
        started.add(node);
        start(node);
      }
      await Promise.race([this.changed.wait(signal), failure.promise]);
    }
    await Promise.race([Promise.all(running.values()), failure.promise]);
  }
}
