// Selects the node that serves a read: among those that serve, have a healthy copy of the shard and have applied enough,
// the one that ranks first.

import type { NodeClient } from '../chroma/client/node-client.ts';
import type { ClusterView } from '../coordination/cluster-view.ts';
import { PolychromeError } from '../errors.ts';
import type { Node } from '../nodes/node.ts';
import { canServe } from '../nodes/node-state.ts';
import type { ReadsInFlight } from '../nodes/reads-in-flight.ts';
import { waitForAny } from '../util/notifier.ts';
import type { ReadRanking } from './read-ranking.ts';
import { compareRanks, type Rank } from './strategies.ts';

/** A node that reads may be sent to. */
export interface ReadCandidate {
  readonly member: Node;
  readonly client: NodeClient;
  readonly readsInFlight: ReadsInFlight;
}

/** What a read requires of the node that serves it. */
export interface ReadRequirements {
  /** The shard to read; null for what any node can respond to. */
  readonly shard: string | null;
  /** LSN the node must have applied. */
  readonly floor: number;
  /** Whether one node should serve all reads of this kind while it can: pages of one scan need one order of records. */
  readonly sticky: boolean;
}

export interface SelectedNode {
  readonly node: ReadCandidate;
  /** The shard's id on the node; null when no shard is read. */
  readonly physicalId: string | null;
}

export interface NodeSelectionOptions {
  readonly nodes: () => readonly ReadCandidate[];
  readonly view: Pick<ClusterView, 'applied' | 'isSuspect' | 'primary' | 'changed'>;
  /** The shard's id on the node; null when the node has no copy. */
  readonly physicalId: (node: string, shard: string) => string | null;
  readonly ranking: Pick<ReadRanking, 'forRead'>;
}

const NONE: ReadonlySet<string> = new Set();

const NO_HEALTHY_COPY =
  'This collection cannot be read: its copy is lost or suspect on every node. An operator has to repair a node, or delete the collection.';

export class NodeSelection {
  readonly #options: NodeSelectionOptions;
  #turn = 0;

  constructor(options: NodeSelectionOptions) {
    this.#options = options;
  }

  /** The best eligible node, as soon as there is one. Throws no_node when `deadline` aborts first. */
  async select(requirements: ReadRequirements, deadline: AbortSignal): Promise<SelectedNode> {
    const { nodes, view } = this.#options;
    for (;;) {
      const selected = this.selectNow(requirements);
      if (selected !== null) return selected;
      if (deadline.aborted) throw this.#noneEligible(requirements);
      // Waiting would not help: an operator has to act.
      if (requirements.shard !== null && this.isOutOfUse(requirements.shard))
        throw new PolychromeError('no_healthy_copy', NO_HEALTHY_COPY);
      await waitForAny([view.changed, ...nodes().map(({ member }) => member.changed)], deadline);
    }
  }

  /** The best eligible node at this moment that is not excluded; null when there is none. */
  selectNow(requirements: ReadRequirements, excluded = NONE): SelectedNode | null {
    const { view, ranking } = this.#options;
    const nodes = this.#options.nodes();
    const { sticky } = requirements;
    const rankOf = ranking.forRead(sticky);
    const primary = view.primary();
    let best: { readonly selected: SelectedNode; readonly rank: Rank } | null = null;
    // Nodes of equal rank take turns. Sticky reads go to the primary, or else to the first eligible node.
    const first = sticky ? 0 : this.#turn++ % nodes.length;
    for (let step = 0; step < nodes.length; step++) {
      const node = nodes[(first + step) % nodes.length] as ReadCandidate;
      const { id, state } = node.member;
      if (excluded.has(id)) continue;
      const selected = this.#eligible(node, requirements);
      if (selected === null) continue;
      const readsInFlight = node.readsInFlight.size;
      const rank = rankOf({ id, isPrimary: id === primary, isBusy: state === 'busy', readsInFlight });
      if (best === null || compareRanks(rank, best.rank) < 0) best = { selected, rank };
    }
    return best?.selected ?? null;
  }

  /** Whether a response of this copy may be served; false once the copy is suspect, or was replaced. */
  isInUse({ node: { member }, physicalId }: SelectedNode, shard: string | null): boolean {
    if (shard === null) return true;
    const present = this.#options.physicalId(member.id, shard);
    // Without a copy, the collection was deleted after the read began: the response is still valid.
    return (present ?? physicalId) === physicalId && !this.#options.view.isSuspect(member.id, shard);
  }

  /** Whether every node's copy of the shard is suspect or lost: no read can be served from it, and no write applied. */
  isOutOfUse(shard: string): boolean {
    // A node without a copy counts as usable: it may not have applied the shard's creation yet.
    const { nodes, view } = this.#options;
    return nodes().every(
      ({ member: { id, state } }) => state === 'needs_rebuild' || view.isSuspect(id, shard),
    );
  }

  /** The node with the shard's id there; null when it cannot serve the read. */
  #eligible(node: ReadCandidate, { shard, floor }: ReadRequirements): SelectedNode | null {
    const { view, physicalId } = this.#options;
    const { id, state } = node.member;
    if (!canServe(state)) return null;
    if (shard === null) return view.applied(id) < floor ? null : { node, physicalId: null };
    const physical = physicalId(id, shard);
    if (physical === null || view.isSuspect(id, shard) || view.applied(id, shard) < floor) return null;
    return { node, physicalId: physical };
  }

  #noneEligible({ shard, floor }: ReadRequirements): PolychromeError {
    const nodes = this.#options.nodes();
    const states = nodes.map(({ member }) => `${member.id} ${member.state}`).join(', ');
    const what = shard === null ? `LSN ${floor}` : `LSN ${floor} of this collection`;
    return new PolychromeError(
      'no_node',
      `No node can serve reads at ${what} at the moment (${states}). Try again.`,
    );
  }
}
