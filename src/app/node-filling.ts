// What gives servers without content their identity, and has nodes begin again that lost theirs.

import type { NodeIdentity } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { Node } from '../nodes/node.ts';
import { canServe } from '../nodes/node-state.ts';
import { NodeFilling } from '../repair/node-filling.ts';
import type { Leader } from '../replication/leader.ts';
import type { Deps } from './deps.ts';
import type { Storage } from './storage.ts';

interface OtherNode {
  readonly member: Node;
  readonly applier: { readonly checkpoint: number };
}

interface FillingParts {
  readonly nodes: { all(): readonly OtherNode[] };
  readonly deps: Pick<Deps, 'newId' | 'logger'>;
  readonly storage: Storage;
  readonly leader: Pick<Leader, 'rewound'>;
}

export function buildFilling(
  member: Node,
  { identity, unverified }: { identity: NodeIdentity; unverified: NodeClient },
  { nodes, deps, storage, leader }: FillingParts,
): NodeFilling {
  const { capabilities, catalog, events, log, members } = storage;
  const isOther = (other: OtherNode): boolean =>
    other.member.id !== member.id && canServe(other.member.state);
  return new NodeFilling({
    member,
    identity,
    unverified,
    nodes: storage.nodes,
    reset: (epoch) => members.reset(epoch, member.id),
    catalog,
    log,
    others: () =>
      nodes
        .all()
        .filter(isOther)
        .map((other) => ({ id: other.member.id, checkpoint: other.applier.checkpoint })),
    leavesLists: () => capabilities.current.metadataArrays,
    idsMax: () => capabilities.current.maxBatchSize,
    hasLost: (seen) => storage.continuity.hasLost(seen),
    onLost: (lsn) => leader.rewound(member.id, lsn),
    newId: deps.newId,
    logger: deps.logger,
    events,
  });
}
