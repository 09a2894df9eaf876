// A node that serves and is never probed, for tests of what reads from nodes.

import { Node } from '../../src/nodes/node.ts';
import type { Clock } from '../../src/util/clock.ts';

export function servingNode(id: string, clock: Clock): Node {
  const never = (): Promise<never> => new Promise(() => undefined);
  const nothing = (): void => undefined;
  const node = new Node({
    id,
    url: '',
    probe: { probe: never, canary: never, verify: never },
    work: {
      explainsSilence: false,
      explainsSilenceSince: () => false,
      isLong: false,
      isOverdueBy: () => false,
    },
    overdueMaxMs: 60_000,
    clock,
    onTransition: nothing,
    onProcessGone: nothing,
    onHealth: nothing,
  });
  node.on('admitted', '');
  node.on('caught_up', '');
  return node;
}
