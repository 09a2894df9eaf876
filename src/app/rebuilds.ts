// Builds what rebuilds suspect copies, and its view of the nodes.

import type { Config } from '../config/config.ts';
import { documentWork } from '../chroma/batch/split.ts';
import { bytesIn } from '../chroma/protocol/node-requests.ts';
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
    nodes: () => nodes.all().map((node) => rebuildNode(node, { leader })),
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

// Calls of a rebuild hold about a second of a server's work; embeddings take less than documents of as many bytes.
const CALL_WORK_MAX = 1;

/** The client of a node. Its mutating calls explain, through `copying`, why the node does not respond to probes. */
function counted({ client, copying }: Pick<BuiltNode, 'client' | 'copying'>): RebuildNode['client'] {
  return {
    read: (request) => client.read(request),
    async mutate(request) {
      const end = copying.begin({
        lsns: [],
        work: Math.min(CALL_WORK_MAX, documentWork(bytesIn(request.body))),
      });
      let hasResponded = false;
      try {
        const response = await client.mutate(request);
        hasResponded = true;
        return response;
      } finally {
        end(hasResponded);
      }
    },
  };
}

function rebuildNode(
  { member, client, copying, applier, admission }: BuiltNode,
  { leader }: Pick<RebuildParts, 'leader'>,
): RebuildNode {
  return {
    id: member.id,
    client: counted({ client, copying }),
    follows: () => follows(member.state),
    awaitsRecheck: () => applier.awaitsRecheck,
    checkpoint: () => applier.checkpoint,
    offeredTo: (shard) => (leader.term === null ? null : applier.offeredTo(leader.term, shard)),
    hold: (signal) => applier.hold(signal),
    writeCopyNumber: (copies, term) =>
      leader.runStep(member.id, () => admission.writeMarker({ copies }, term), term),
  };
}
