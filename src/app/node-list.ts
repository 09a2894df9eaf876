// How a gateway follows the list of nodes: builds a node, removes it, and recognises it at an address.

import { readMarker } from '../nodes/marker.ts';
import type { MemberRow } from '../nodes/member-store.ts';
import { NodeList } from '../nodes/node-list.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { canServe } from '../nodes/node-state.ts';
import { ServiceMembership } from '../nodes/service-membership.ts';
import { joinRefusal } from './join-refusal.ts';
import { buildNode, type BuiltNode, type NodeParts } from './nodes.ts';

// A server that is there reads its marker in milliseconds.
const IDENTIFY_DEADLINE_MS = 5_000;

/** The list of nodes, with its nodes built into the registry. */
export function buildNodeList(nodes: NodeRegistry<BuiltNode>, parts: NodeParts): NodeList<BuiltNode> {
  const { config, deps, storage, positions, trials, leader } = parts;
  const { clock, logger, connections } = deps;
  const { catalog, capabilities, members, memberList } = storage;
  const options = {
    store: members,
    registry: nodes,
    directory: deps.nodeDirectory,
    membership: config.nodeService === null ? null : buildMembership(nodes, parts),
    build: (member: MemberRow, isReplacement: boolean) => buildNode(member, isReplacement, parts),
    retire: async (
      { member, applier, readsInFlight, disconnect }: BuiltNode,
      isGone: boolean,
    ): Promise<void> => {
      readsInFlight.abort();
      await disconnect();
      if (!isGone) return positions.restarted(member.id, applier.checkpoint);
      positions.forget(member.id);
      trials.beganAgain(member.id);
      catalog.forgetNode(member.id);
      capabilities.leave(member.id);
    },
    identify: async (url: string) => {
      const client = connections.unverified({ url, clock, readConnections: 1, mutateConnections: 1 });
      try {
        return (await readMarker(client, IDENTIFY_DEADLINE_MS))?.marker ?? null;
      } finally {
        await client.destroy();
      }
    },
    onChanged: () => leader.membersChanged(),
    clock,
    logger,
  };
  return new NodeList(options, memberList);
}

/** What a DNS name that has the nodes changes in the list. */
function buildMembership(
  nodes: NodeRegistry<BuiltNode>,
  { config, deps, storage, leader }: NodeParts,
): ServiceMembership {
  const { members, catalog, events } = storage;
  const refusal = joinRefusal(deps);
  return new ServiceMembership({
    seed: (found) => members.seed(found),
    async rejoin(node) {
      const reason = await refusal(node.id, node.url);
      if (reason !== null) throw new Error(reason);
      if (await members.add(node)) events.record('node_added', { node: node.id });
    },
    async remove(id) {
      const others = nodes.ids().filter((other) => other !== id);
      const only = catalog.onlyHealthyOn(id, others);
      if (only.length > 0)
        throw new Error(`it has the only healthy copy of ${only.length} collections, such as ${only[0]}`);
      const { term } = leader;
      if (term === null || !(await members.remove(term.epoch, id)))
        throw new Error('it is primary, or this gateway leads no longer');
      events.record('node_removed', { node: id, reason: `${deps.nodeDirectory.name} does not name it` });
    },
    forgetAfterMs: config.NODE_FORGET_AFTER ?? null,
    leads: () => leader.term !== null,
    primary: () => leader.primary.node,
    serving: () => {
      const serving = nodes.all().filter(({ member }) => canServe(member.state));
      return serving.map(({ member }) => member.id);
    },
    clock: deps.clock,
    logger: deps.logger,
  });
}
