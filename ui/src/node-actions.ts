// What an operator can do to a node here, when, and what it means.

import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { serves } from './live.ts';

export type NodeStatus = LiveState['status']['nodes'][number];

export interface NodeAction {
  /** Last segment of the path under /admin/nodes/NODE. */
  readonly name: string;
  readonly label: string;
  /** What happens, for the confirmation. */
  readonly consequence: string;
  readonly isDangerous: boolean;
  /** Why it cannot be done to the node now; null when it can. */
  readonly refusal: (node: NodeStatus, state: LiveState) => string | null;
}

const othersServe = (node: NodeStatus, { status }: LiveState): boolean =>
  status.nodes.some(({ id, state }) => id !== node.id && serves(state));

const ACTIONS: readonly NodeAction[] = [
  {
    name: 'promote',
    label: 'Promote',
    consequence:
      'Makes it the primary once it has applied what the log holds now. Writes continue meanwhile.',
    isDangerous: false,
    refusal: (node) =>
      node.role === 'primary' ? 'It is the primary.' : serves(node.state) ? null : 'It does not serve.',
  },
  {
    name: 'drain',
    label: 'Drain',
    consequence:
      'Takes it out of service for maintenance: the primary moves away, reads go to the other nodes, and it goes on following the log.',
    isDangerous: true,
    refusal: (node, state) => {
      if (node.state === 'drained') return 'It is drained.';
      return othersServe(node, state) ? null : 'No other node serves.';
    },
  },
  {
    name: 'undrain',
    label: 'Undrain',
    consequence: 'Takes it back into service once it has caught up.',
    isDangerous: false,
    refusal: (node) => (node.state === 'drained' ? null : 'It is not drained.'),
  },
  {
    name: 'verify',
    label: 'Verify',
    consequence:
      'Compares every record and index of the node with the other nodes. Reads and writes continue; copies that differ are rebuilt.',
    isDangerous: false,
    refusal: (node, state) => {
      if (!serves(node.state)) return 'It does not serve.';
      return othersServe(node, state) ? null : 'There is no other node to compare with.';
    },
  },
  {
    name: 'rebuild',
    label: 'Rebuild',
    consequence:
      'Copies its collections anew from the other nodes, one after the other. A collection is not served from this node until its copy is complete.',
    isDangerous: true,
    refusal: (node, state) => (othersServe(node, state) ? null : 'No other node serves.'),
  },
];

/** The actions that this gateway offers. */
export function actionsFor(state: LiveState): readonly NodeAction[] {
  return ACTIONS.filter(({ name }) => state.actions.includes(name));
}
