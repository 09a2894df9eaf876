// What ends entries that nodes fail: the arbiter, and the second opinions that it asks for.

import type { Config } from '../config/config.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { follows } from '../nodes/node-state.ts';
import { ROUND_ENTRIES_MAX } from '../replication/applier.ts';
import { Arbiter } from '../replication/arbiter.ts';
import type { Endings } from '../replication/endings.ts';
import type { Positions } from '../replication/positions.ts';
import { SecondOpinion, type NamedShard } from '../replication/second-opinion.ts';
import type { Trials } from '../replication/trials.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

interface ArbiterParts {
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly positions: Positions;
  readonly endings: Endings;
  readonly current: CurrentTerm;
  readonly refreshCatalog: () => Promise<void>;
}

export function buildArbiter(
  { config, deps, storage, nodes, positions, endings, current, refreshCatalog }: ArbiterParts,
  trials: Trials,
): Arbiter {
  const { catalog, decisions } = storage;
  const { clock, logger } = deps;
  const opinions = new SecondOpinion({
    node: (id) => {
      const { client, workload } = nodes.get(id);
      return { client, workload, assigned: (shard) => healthyShard(storage, id, shard) };
    },
    collectionOf: (shard) => catalog.collectionOfShard(shard),
    clock,
  });
  return new Arbiter({
    trials,
    decisions,
    positions,
    endings,
    clock,
    limits: { attempts: config.ENTRY_ATTEMPTS, timeoutMs: config.ENTRY_TIMEOUT_MS },
    members: () => nodes.ids(),
    works: (id) => follows(nodes.get(id).member.state),
    isSuspect: (node, shard) => catalog.isSuspect(node, shard),
    isHealthy: (node, shard) => catalog.isHealthy(node, shard),
    takenEarlier: (shard) => storage.checkpoints.takenEarlier(shard),
    // A call that was in flight when the node went may have brought a round beyond the checkpoint.
    mayHaveApplied: async (id, term) => {
      const offeredTo = nodes.get(id).applier.offeredTo(term);
      if (offeredTo !== null) return offeredTo;
      const row = (await storage.nodes.all()).find((each) => each.id === id);
      return row === undefined ? 0 : row.checkpoint + ROUND_ENTRIES_MAX;
    },
    leads: (epoch) => current.term?.epoch === epoch && current.term.held(),
    trace: (id, entry) => nodes.get(id).applier.trace(entry),
    ask: (node, trial, term) => opinions.ask(node, trial, term),
    onEnded: ({ lsn, kind }, { outcome, status }) => {
      logger.error({ lsn, kind, outcome, status }, 'entry ended: no healthy node can apply it');
      if (outcome !== 'accepted') storage.events.record(`entry_${outcome}`, { lsn, operation: kind, status });
      void refreshCatalog().catch(() => undefined);
    },
    onRecordError: (error) => logger.warn({ error: String(error) }, 'end of an entry not recorded'),
  });
}

function healthyShard({ catalog }: Storage, node: string, shard: string): NamedShard | null {
  const at = catalog.collectionOfShard(shard);
  const copy = catalog.physical(node, shard);
  if (at === null || copy === null || copy.suspect !== null) return null;
  return { ...copy, tenant: at.tenant, database: at.database };
}
