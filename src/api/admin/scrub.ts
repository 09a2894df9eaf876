// GET and POST /admin/scrub…: shows, starts, pauses and resumes the scrub.

import type { Handler } from '../../http/router.ts';
import type { EventSink } from '../../observability/events.ts';
import { operationStarted } from './operation-routes.ts';
import type { Operations, OperationWork } from './operations.ts';
import { privateJson } from './private-json.ts';
import type { AdminRoute } from './routes.ts';

/** What operators are shown of the scrub. */
export interface ScrubReport {
  readonly startedAt: Date;
  /** Null while a pass is in progress. */
  readonly finishedAt: Date | null;
  readonly isPaused: boolean;
  readonly isRequested: boolean;
  /** Shards that exist. */
  readonly total: number;
  readonly counts: {
    readonly shards: number;
    readonly records: number;
    readonly uncompared: number;
    readonly suspects: number;
    readonly skipped: number;
  };
}

export interface ScrubControl {
  progress(): Promise<ScrubReport>;
  runOnce: OperationWork;
  pause(): Promise<void>;
  resume(): Promise<void>;
}

export function scrubRoutes({
  scrub,
  operations,
  events,
}: {
  readonly scrub: ScrubControl;
  readonly operations: Pick<Operations, 'start'>;
  readonly events: EventSink;
}): readonly AdminRoute[] {
  const show: Handler = async () => privateJson(shown(await scrub.progress()));
  const action =
    (name: 'pause' | 'resume'): Handler =>
    async () => {
      await scrub[name]();
      events.record('operator_action', { action: `scrub_${name}` });
      return privateJson(shown(await scrub.progress()));
    };
  const start: Handler = async () => {
    events.record('operator_action', { action: 'scrub_start' });
    return operationStarted(
      operations.start({ kind: 'scrub', target: '' }, (report, signal) => scrub.runOnce(report, signal)),
    );
  };
  const path = '/admin/scrub';
  return [
    { method: 'GET', path, handle: show },
    { method: 'POST', path, handle: start },
    { method: 'POST', path: `${path}/pause`, handle: action('pause') },
    { method: 'POST', path: `${path}/resume`, handle: action('resume') },
  ];
}

function shown({ startedAt, finishedAt, isPaused, isRequested, total, counts }: ScrubReport): object {
  return {
    state: stateOf({ finishedAt, isPaused, isRequested }),
    startedAt: startedAt.toISOString(),
    finishedAt: finishedAt?.toISOString() ?? null,
    total,
    ...counts,
  };
}

function stateOf({
  finishedAt,
  isPaused,
  isRequested,
}: Pick<ScrubReport, 'finishedAt' | 'isPaused' | 'isRequested'>): string {
  if (isPaused) return 'paused';
  if (finishedAt === null) return 'running';
  return isRequested ? 'requested' : 'idle';
}
