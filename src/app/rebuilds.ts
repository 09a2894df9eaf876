// Builds what rebuilds suspect copies, and its view of the nodes.

import type { Config } from '../config/config.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { NodeCommand } from '../nodes/node-command.ts';
import { canServe, follows } from '../nodes/node-state.ts';
import { DamagedNodes } from '../repair/damaged-nodes.ts';
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
}

export function buildRebuilds({ config, deps, storage, caches, nodes, leader }: RebuildParts): Rebuilds {
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
    damaged: buildDamagedNodes({ config, deps, storage, nodes }),
    forget: () => caches.invalidation.forget(),
    bytesPerSecond: config.REBUILD_BYTES_PER_SECOND,
    newId: deps.newId,
    clock: deps.clock,
    logger: deps.logger,
    events,
  });
}

function buildDamagedNodes({
  config,
  deps: { clock, logger, onNodeDamaged },
  storage: { catalog, events },
  nodes,
}: Pick<RebuildParts, 'config' | 'deps' | 'storage' | 'nodes'>): DamagedNodes {
  const command = config.NODE_RESET_COMMAND;
  const reset = command === undefined ? null : new NodeCommand({ purpose: 'reset', command, clock, logger });
  return new DamagedNodes({
    catalog,
    serving: () =>
      nodes
        .all()
        .filter(({ member }) => canServe(member.state))
        .map(({ member }) => member.id),
    discard: (node) => {
      const { url } = nodes.get(node).member;
      reset?.run(node, url);
      onNodeDamaged(url);
    },
    clock,
    events,
    logger,
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
