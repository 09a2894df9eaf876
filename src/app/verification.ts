// What compares the copies of shards: before a returned node serves, on a schedule, and after reads that differ.

import type { Config } from '../config/config.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { LogBuffer } from '../log/log-buffer.ts';
import { canServe } from '../nodes/node-state.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { ComparisonQueue } from '../repair/comparison-queue.ts';
import { NodeVerification } from '../repair/node-verification.ts';
import { ReturnVerification } from '../repair/return-verification.ts';
import { Scrub } from '../repair/scrub.ts';
import { ShardVerification } from '../repair/shard-verification.ts';
import type { Positions } from '../replication/positions.ts';
import type { SuspectShards } from '../replication/suspect-shards.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

export interface Verification {
  readonly shards: ShardVerification;
  readonly returns: ReturnVerification;
  readonly scrub: Scrub;
  /** Shards of which two nodes gave different responses. */
  readonly queue: ComparisonQueue;
  readonly node: NodeVerification;
}

export interface VerificationParts {
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly positions: Positions;
  readonly logBuffer: LogBuffer;
  readonly suspects: SuspectShards;
  readonly current: CurrentTerm;
}

export function buildVerification(parts: VerificationParts): Verification {
  const { config, deps, storage, nodes, positions, logBuffer, suspects, current } = parts;
  const { clock, logger } = deps;
  const { catalog, decisions, log, events } = storage;
  // The primary last: it has the writes to do.
  const serving = (): string[] => {
    const ids = nodes.all().filter(({ member }) => canServe(member.state));
    const isPrimary = (id: string): number => Number(id === positions.primary);
    return ids.map(({ member }) => member.id).sort((a, b) => isPrimary(a) - isPrimary(b));
  };
  const shards = new ShardVerification({
    log,
    decisions,
    catalog,
    serving,
    client: (node) => countedClient(nodes.get(node)),
    primary: () => positions.primary,
    applied: (node, shard) => positions.appliedTo(node, shard),
    head: () => logBuffer.head,
    markSuspect: (node, shard, reason, term) => suspects.add(node, shard, reason, term),
    events,
    clock,
  });
  const scrub = new Scrub({
    store: storage.scrub,
    verification: shards,
    shards: () => catalog.shards(),
    serving,
    intervalMs: config.SCRUB_INTERVAL,
    bytesPerSecond: config.SCRUB_BYTES_PER_SECOND,
    events,
    clock,
    logger,
  });
  const requestScrub = (): void => {
    scrub.start().catch((error: unknown) => logger.warn({ error: String(error) }, 'scrub not requested'));
  };
  const shardsOf = (node: string): string[] =>
    catalog.shards().filter((shard) => catalog.isHealthy(node, shard));
  const returns = new ReturnVerification({
    verification: shards,
    shardsOf,
    references: serving,
    onUncompared: () => {
      if (config.SCRUB_INTERVAL > 0) requestScrub();
    },
    clock,
    logger,
  });
  const queue = new ComparisonQueue({
    verification: shards,
    serving,
    term: () => current.term,
    onNotLeading: requestScrub,
    clock,
    logger,
  });
  const node = new NodeVerification({ verification: shards, shardsOf, serving, term: () => current.term });
  return { shards, returns, scrub, queue, node };
}

/** Its reads count as load, so that clients are served by other nodes meanwhile. */
function countedClient({ client, readsInFlight }: BuiltNode): Pick<NodeClient, 'read'> {
  return {
    async read(request) {
      const end = readsInFlight.begin(new AbortController());
      try {
        return await client.read(request);
      } finally {
        end(true);
      }
    },
  };
}
