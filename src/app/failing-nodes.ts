// Builds what restarts nodes that hang or cannot work, and empties those whose files are damaged.

import type { Config } from '../config/config.ts';
import type { CurrentTerm } from '../coordination/current-term.ts';
import { NodeCommand } from '../nodes/node-command.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import { canServe } from '../nodes/node-state.ts';
import { copiesOf, damageEvidence, saysDamaged } from '../repair/damage-evidence.ts';
import { fullTextEvidence, mayBeFullText } from '../repair/full-text-evidence.ts';
import { DamagedNodes } from '../repair/damaged-nodes.ts';
import { FailingNodes } from '../repair/failing-nodes.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Storage } from './storage.ts';

interface FailingParts {
  readonly config: Config;
  readonly deps: Deps;
  readonly storage: Storage;
  readonly nodes: NodeRegistry<BuiltNode>;
  readonly current: CurrentTerm;
}

/** What happens to nodes that cannot work. */
export interface NodeRemedies {
  readonly damaged: DamagedNodes;
  readonly failing: FailingNodes;
  /** A node hangs on a call. */
  readonly onHung: (node: string, url: string) => void;
}

export function buildNodeRemedies(parts: FailingParts): NodeRemedies {
  const { config, deps, storage, nodes, current } = parts;
  const { clock, logger, onNodeHung } = deps;
  const { events } = storage;
  const command = config.NODE_RESTART_COMMAND;
  const runner =
    command === undefined ? null : new NodeCommand({ purpose: 'restart', command, clock, logger });
  const restart = (node: string, url: string): void => {
    runner?.run(node, url);
    onNodeHung(url);
  };
  const damaged = buildDamagedNodes(parts);
  const failing = new FailingNodes({
    isLeading: () => current.term?.held() === true,
    restart: (node) => restart(node, nodes.get(node).member.url),
    nodeAt: (url) => nodes.all().find(({ member }) => member.url === url)?.member.id ?? null,
    damageOf: (node, reason) => damageOf(node, reason, parts),
    damaged,
    clock,
    events,
    logger,
  });
  const onHung = (node: string, url: string): void => {
    logger.error({ node }, 'node hangs on a call');
    events.record('node_hung', { node });
    restart(node, url);
  };
  return { damaged, failing, onHung };
}

async function damageOf(
  node: string,
  reason: string,
  { deps, storage: { catalog }, nodes, current }: FailingParts,
): Promise<string | null> {
  const { clock, newId } = deps;
  const { member, client } = nodes.get(node);
  const { url, lastError } = member;
  const said = saysDamaged(lastError ?? '');
  if (said !== null) return said;
  // Its marker may be among what cannot be read, so that no connection can be verified.
  const reader = deps.connections.unverified({ url, clock, readConnections: 1, mutateConnections: 1 });
  try {
    const found = await damageEvidence({ client: reader, copies: copiesOf(catalog, node), clock });
    if (found !== null || !mayBeFullText(reason)) return found;
  } finally {
    await reader.destroy();
  }
  return fullTextEvidence({ client, held: () => current.term?.held() === true, newId, clock });
}

function buildDamagedNodes({
  config,
  deps: { clock, logger, onNodeDamaged },
  storage: { catalog, events },
  nodes,
}: FailingParts): DamagedNodes {
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
