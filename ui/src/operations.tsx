// What operators have started: its progress, and how it ended.

import type { OperationStatus } from '../../src/api/admin/operations.ts';
import { operationOutcome } from '../../src/util/operation-outcome.ts';
import { countText, durationText, shortText } from './format.ts';
import { Shape } from './state-badge.tsx';

const KINDS = { running: 'notice', done: 'ok', failed: 'critical' } as const;

export function OperationsPanel({
  operations,
  now,
}: {
  readonly operations: readonly OperationStatus[];
  readonly now: number;
}) {
  return (
    <section class="panel" aria-labelledby="operations-title">
      <div class="section-head">
        <h2 id="operations-title">Operations</h2>
      </div>
      {operations.length === 0 ? (
        <p class="empty">None since this gateway started. "Manage" beside a node starts one.</p>
      ) : (
        <ul class="rows">
          {operations.map((operation) => (
            <li key={operation.id}>
              <OperationRow operation={operation} now={now} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

export function OperationRow({
  operation,
  now,
}: {
  readonly operation: OperationStatus;
  readonly now: number;
}) {
  const { id, kind, target, state, progress, startedAt, endedAt, error } = operation;
  const elapsed = (endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt);
  return (
    <div class="operation" data-operation={id} data-state={state}>
      <p>
        <span class={`state ${KINDS[state]}`}>
          <Shape kind={KINDS[state]} />
          {kind} {target}
        </span>
        <span class="since">
          {state === 'running' ? 'for' : `${state} in`} {durationText(elapsed)}
        </span>
      </p>
      {state === 'running' && progress !== null ? (
        <Progress progress={progress} label={`${kind} ${target}`} />
      ) : null}
      {state === 'done' ? <p class="remark">{operationOutcome(operation)}</p> : null}
      {error === null ? null : <p class="remark">{error}</p>}
    </div>
  );
}

interface ProgressProps {
  readonly progress: NonNullable<OperationStatus['progress']>;
  readonly label: string;
}

function Progress({ progress: { phase, done, total, unit, perSecond, remainingMs }, label }: ProgressProps) {
  const rate = perSecond === null || perSecond === 0 ? '' : `, ${shortText(perSecond)} ${unit}/s`;
  const left = remainingMs === null ? '' : `, ${durationText(remainingMs)} left`;
  return (
    <>
      {total === null || total === 0 ? (
        <progress aria-label={label} />
      ) : (
        <progress aria-label={label} value={done} max={total} />
      )}
      <p class="note">
        {phase}: {countText(done)}
        {total === null ? '' : ` of ${countText(total)}`} {unit}
        {rate}
        {left}
      </p>
    </>
  );
}
