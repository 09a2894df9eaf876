// The nodes of the cluster: everything that concerns all of them asks here, and keeps no list of its own.

import { Notifier } from '../util/notifier.ts';
import type { Node } from './node.ts';

/** Generic in what the users of a registry need of a node beside the node itself. */
export class NodeRegistry<Registered extends { readonly member: Node }> {
  #nodes: readonly Registered[] = [];
  /** Notified when a node was added. */
  readonly changed = new Notifier();

  /** In the order of the configuration: the first is the preferred primary of an empty cluster. */
  all(): readonly Registered[] {
    return this.#nodes;
  }

  ids(): readonly string[] {
    return this.#nodes.map(({ member }) => member.id);
  }

  /** Throws when there is no such node. */
  get(id: string): Registered {
    const found = this.#nodes.find(({ member }) => member.id === id);
    if (found === undefined) throw new Error(`There is no node "${id}".`);
    return found;
  }

  /** Throws when there is a node of that id. */
  add(node: Registered): void {
    const { id } = node.member;
    if (this.#nodes.some(({ member }) => member.id === id)) throw new Error(`There are two nodes "${id}".`);
    this.#nodes = [...this.#nodes, node];
    this.changed.notify();
  }
}
