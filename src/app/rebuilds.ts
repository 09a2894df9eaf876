// Builds what rebuilds suspect copies, and its view of the nodes.

import type { Config } from '../config/config.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { follows } from '../nodes/node-state.ts';
import type { DamagedNodes } from '../repair/damaged-nodes.ts';
import { Rebuilds } from '../repair/rebuilds.ts';
import type { RebuildNode } from '../repair/rebuilds.ts';
import type { Leader } from '../replication/leader.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

interface RebuildParts {
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly leader: Leader;
  readonly damaged: DamagedNodes;
}

export function buildRebuilds({
  config,
  deps,
  storage,
  caches,
  nodes,
  leader,
  damaged,
}: RebuildParts): Rebuilds {
  const { catalog, copies, log, decisions, capabilities, events } = storage;
  return new Rebuilds({
    nodes: () => nodes.all().map((node) => rebuildNode(node, leader)),
    primary: () => leader.primary.node,
    catalog,
    copies,
    log,
    decisions,
    idsMax: () => capabilities.current.maxBatchSize,
    leavesLists: () => capabilities.current.metadataArrays,
    damaged,
    forget: () => caches.invalidation.forget(),
    bytesPerSecond: config.REBUILD_BYTES_PER_SECOND,
    newId: deps.newId,
    clock: deps.clock,
    logger: deps.logger,
    events,
  });
}

function rebuildNode({ member, client, applier, admission }: BuiltNode, leader: Leader): RebuildNode {
  return {
    id: member.id,
    client,
    follows: () => follows(member.state),
    checkpoint: () => applier.checkpoint,
    hold: (signal) => applier.hold(signal),
    writeCopyNumber: (copies, term) =>
      leader.runStep(member.id, () => admission.writeMarker({ copies }, term), term),
  };
}
