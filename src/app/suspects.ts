// What makes a copy suspect, for all who can find out that it is.

import type { NodeRegistry } from '../nodes/node-registry.ts';
import { SuspectShards } from '../replication/suspect-shards.ts';
import type { Caches } from './caches.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

interface SuspectParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly refreshCatalog: () => Promise<void>;
}

export function buildSuspects(
  { deps, storage, caches, nodes, refreshCatalog }: SuspectParts,
  announce: () => void,
): SuspectShards {
  const { catalog, checkpoints } = storage;
  return new SuspectShards({
    forget: () => caches.invalidation.forget(),
    exclude: (node, shard, reason) => catalog.markSuspect(node, shard, reason),
    record: (epoch, node, shard, reason) => checkpoints.suspect(epoch, node, shard, reason),
    notifyApplier: (node, shard, suspicion) => nodes.get(node).applier.markSuspect(shard, suspicion),
    recorded: (node) => checkpoints.assigned(node),
    known: (node, shard) => catalog.physical(node, shard),
    refreshCatalog,
    announce,
    events: storage.events,
    logger: deps.logger,
  });
}
