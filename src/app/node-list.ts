// How a gateway follows the list of nodes: builds a node, removes it, and recognises it at an address.

import { readMarker } from '../nodes/marker.ts';
import type { MemberRow } from '../nodes/member-store.ts';
import { NodeList } from '../nodes/node-list.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { buildNode, type BuiltNode, type NodeParts } from './nodes.ts';

// A server that is there reads its marker in milliseconds.
const IDENTIFY_DEADLINE_MS = 5_000;

/** The list of nodes, with its nodes built into the registry. */
export function buildNodeList(nodes: NodeRegistry<BuiltNode>, parts: NodeParts): NodeList<BuiltNode> {
  const { config, deps, storage, positions, leader } = parts;
  const { clock, logger, connections } = deps;
  const { catalog, capabilities, members, memberList } = storage;
  const options = {
    store: members,
    registry: nodes,
    configured: config.nodes,
    build: (member: MemberRow, isReplacement: boolean) => buildNode(member, isReplacement, parts),
    retire: async (
      { member, applier, readsInFlight, disconnect }: BuiltNode,
      isGone: boolean,
    ): Promise<void> => {
      readsInFlight.abort();
      await disconnect();
      if (!isGone) return positions.restarted(member.id, applier.checkpoint);
      positions.forget(member.id);
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
