// Builds what slows writes down for the sake of nodes.

import type { Config } from '../config/config.ts';
import { canServe } from '../nodes/node-state.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { backpressureDelayMs } from '../write/backpressure.ts';
import { CatchUpPressure } from '../write/catch-up-pressure.ts';
import type { Replication } from './replication.ts';

/** What a write waits for before it is appended, beside its place in the backlog. */
export interface BackPressure {
  /** How long to delay a write at this moment, ms. */
  readonly delayMs: () => number;
  readonly catchUp: CatchUpPressure;
}

type SlowedBy = Pick<Replication, 'nodes' | 'view' | 'rebuilds' | 'logBuffer'>;

// A third of the time that a write has: it is still appended, and acknowledged, within the rest.
const WAIT_SHARE = 1 / 3;

export function buildBackPressure(
  config: Pick<Config, 'WRITE_TIMEOUT_MS'>,
  { nodes, view, rebuilds, logBuffer }: SlowedBy,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): BackPressure {
  const serving = () =>
    nodes
      .all()
      .filter(({ member }) => canServe(member.state))
      .map(({ member, applier }) => ({
        applied: view.applied(member.id),
        lagMs: applier.lag(clock.now()).ms ?? 0,
      }));
  const catchUp = new CatchUpPressure({
    catchingUp: () =>
      nodes
        .all()
        .filter(({ member }) => member.state === 'catching_up')
        .map(({ member: { id } }) => ({ id, applied: view.applied(id) })),
    head: () => logBuffer.head,
    waitMsMax: config.WRITE_TIMEOUT_MS * WAIT_SHARE,
    clock,
    logger,
  });
  return { delayMs: () => Math.max(backpressureDelayMs(serving()), rebuilds.appendDelayMs), catchUp };
}
