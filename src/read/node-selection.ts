// Which node answers a read: those that serve, have a healthy copy of the shard and have applied enough; of them the
// least loaded, busy ones last.

import { PolychromeError } from '../errors.ts';
import type { PhysicalShard } from '../catalog/catalog.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Member } from '../nodes/node.ts';
import { canServe } from '../nodes/node-state.ts';
import type { Positions } from '../replication/positions.ts';

/** A busy node responds to nothing for up to a second or more. */
function isLessLoaded(a: ReadNode, b: ReadNode): boolean {
  const [isBusy, isOtherBusy] = [a.member.state === 'busy', b.member.state === 'busy'];
  return isBusy === isOtherBusy ? a.asked.size < b.asked.size : isOtherBusy;
}

/** A node reads may be sent to. */
export interface ReadNode {
  readonly member: Member;
  readonly client: NodeClient;
  /** Reads of this gateway it has not answered yet; aborted when the node is found not to work. */
  readonly asked: Set<AbortController>;
}

export interface NodeChoiceOptions {
  readonly nodes: readonly ReadNode[];
  readonly positions: Positions;
  readonly physical: (node: string, shard: string) => PhysicalShard | undefined;
  readonly primary: () => string | null;
}

export interface Chosen {
  readonly node: ReadNode;
  /** Present when a shard was asked for. */
  readonly physical: string | null;
}

export interface Wanted {
  /** Null: anything any node can answer at this position. */
  readonly shard: string | null;
  /** LSN the node must have applied. */
  readonly floor: number;
  /** Node that should answer if it can: pages of one scan must come from one order. */
  readonly sticky: boolean;
  readonly except: ReadonlySet<string>;
}

export class NodeChoice {
  readonly #options: NodeChoiceOptions;
  #turn = 0;

  constructor(options: NodeChoiceOptions) {
    this.#options = options;
  }

  /** An eligible node, waiting until there is one. Throws no_node when `deadline` aborts first. */
  async choose(wanted: Wanted, deadline: AbortSignal): Promise<Chosen> {
    const { nodes, positions } = this.#options;
    for (;;) {
      const chosen = this.now(wanted);
      if (chosen !== null) return chosen;
      if (deadline.aborted) throw this.#none(wanted);
      const watch = new AbortController();
      const signal = AbortSignal.any([deadline, watch.signal]);
      await Promise.race([
        positions.moved.wait(signal),
        ...nodes.map(({ member }) => member.changed.wait(signal)),
      ]);
      watch.abort();
    }
  }

  /** An eligible node at this moment, or null. */
  now({ shard, floor, sticky, except }: Wanted): Chosen | null {
    const { nodes, positions, physical, primary } = this.#options;
    let best: Chosen | null = null;
    // Ties go round; a scan's pages go to the primary, or else to the first that can.
    const first = sticky ? 0 : this.#turn++ % nodes.length;
    for (let step = 0; step < nodes.length; step++) {
      const node = nodes[(first + step) % nodes.length] as ReadNode;
      const { id, state } = node.member;
      if (!canServe(state) || except.has(id)) continue;
      const held = shard === null ? null : physical(id, shard);
      if (held === undefined || (held !== null && held.suspect !== null)) continue;
      const applied = shard === null ? positions.applied(id) : positions.appliedTo(id, shard);
      if (applied < floor) continue;
      const chosen = { node, physical: held?.physical ?? null };
      if (sticky && id === primary()) return chosen;
      if (best === null || (!sticky && isLessLoaded(node, best.node))) best = chosen;
    }
    return best;
  }

  /** Whether a shard's content is in doubt on every node, or lost: nothing may be answered from it, nor added to it. */
  isOutOfUse(shard: string): boolean {
    // A node that has not come to the shard's creation will have it.
    return this.#options.nodes.every(({ member: { id, state } }) => {
      const held = this.#options.physical(id, shard);
      return state === 'needs_rebuild' || (held !== undefined && held.suspect !== null);
    });
  }

  #none({ shard, floor, except }: Wanted): PolychromeError {
    const states = this.#options.nodes.map(({ member }) => `${member.id} ${member.state}`).join(', ');
    const what = shard === null ? `LSN ${floor}` : `LSN ${floor} of this collection`;
    const tried = except.size === 0 ? '' : ` Already tried: ${[...except].join(', ')}.`;
    return new PolychromeError(
      'no_node',
      `No node can answer at ${what} at the moment (${states}).${tried} Try again.`,
    );
  }
}
