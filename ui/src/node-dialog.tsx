// One node in detail, and what can be done to it: each action is confirmed, and followed to its end.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { LiveState } from '../../src/api/ui/live-feed.ts';
import type { OperationStatus } from '../../src/api/admin/operations.ts';
import { post, type RequestFailed } from './api.ts';
import { Dialog } from './dialog.tsx';
import { countText, durationText, millisText, pluralText, timeText } from './format.ts';
import { actionsFor, type NodeAction, type NodeStatus } from './node-actions.ts';
import { OperationRow } from './operations.tsx';
import { StateBadge } from './state-badge.tsx';

interface NodeDialogProps {
  readonly state: LiveState;
  readonly id: string;
  readonly onClose: () => void;
}

export function NodeDialog({ state, id, onClose }: NodeDialogProps) {
  const [chosen, choose] = useState<NodeAction | null>(null);
  const [started, setStarted] = useState<OperationStatus | null>(null);
  const [error, setError] = useState<string | null>(null);
  // The button that was pressed is gone: the focus goes on with what it started.
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => box.current?.focus(), [started?.id]);
  const node = state.status.nodes.find((each) => each.id === id);
  const start = async (action: NodeAction): Promise<void> => {
    choose(null);
    setError(null);
    try {
      setStarted(await post<OperationStatus>(`../admin/nodes/${id}/${action.name}`));
    } catch (failed) {
      setError((failed as RequestFailed).message);
    }
  };
  const operation = state.operations.find((each) => each.id === started?.id) ?? started;
  return (
    <Dialog title={`Node ${id}`} onClose={onClose}>
      {node === undefined ? <p>This node has left the cluster.</p> : <Details node={node} now={state.at} />}
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {operation === null ? null : (
        <div class="operation-box" role="status" tabIndex={-1} ref={box}>
          <OperationRow operation={operation} now={state.at} />
        </div>
      )}
      {node === undefined ? null : chosen === null ? (
        <Actions node={node} state={state} choose={choose} />
      ) : (
        <Confirmation
          action={chosen}
          node={id}
          onConfirm={() => void start(chosen)}
          onCancel={() => choose(null)}
        />
      )}
    </Dialog>
  );
}

function Details({ node, now }: { readonly node: NodeStatus; readonly now: number }) {
  const { lag, work, failing, verification, suspects } = node;
  const rows: readonly (readonly [string, unknown])[] = [
    ['State', <StateBadge key="state" state={node.state} />],
    ['Since', `${timeText(node.since, now)} (${durationText(now - Date.parse(node.since))})`],
    ['Reason', node.reason],
    ['Role', node.role],
    ['Address', node.url],
    ['Process', node.pid ?? null],
    ['Checkpoint', countText(node.checkpoint)],
    [
      'Behind',
      `${pluralText(lag.entries, 'entry', 'entries')}${lag.ms === null || lag.entries === 0 ? '' : `, ${millisText(lag.ms)}`}`,
    ],
    [
      'Call in flight',
      work === null
        ? null
        : `for ${millisText(work.ms)}${work.remainingMs < 1 ? '' : `, about ${millisText(work.remainingMs)} left`}`,
    ],
    [
      'Failing entry',
      failing === null ? null : `LSN ${failing.lsn}, ${failing.attempts} attempts: ${failing.error}`,
    ],
    [
      'Verification',
      verification === null
        ? null
        : `${verification.verified} of ${verification.shards} collections, ${countText(verification.records)} records`,
    ],
    [
      'Suspect',
      suspects.length === 0 ? null : suspects.map(({ name, reason }) => `${name}: ${reason}`).join('; '),
    ],
    ['Last error', node.lastError],
  ];
  return (
    <dl class="details">
      {rows
        .filter(([, value]) => value !== null)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value as string}</dd>
          </div>
        ))}
    </dl>
  );
}

interface ActionsProps {
  readonly node: NodeStatus;
  readonly state: LiveState;
  readonly choose: (action: NodeAction) => void;
}

function Actions({ node, state, choose }: ActionsProps) {
  if (state.status.leader === null)
    return <p class="note">Actions are carried out by the gateway that leads; open its dashboard.</p>;
  return (
    <ul class="actions">
      {actionsFor(state).map((action) => {
        const refusal = action.refusal(node, state);
        return (
          <li key={action.name}>
            <button
              type="button"
              class={action.isDangerous ? 'danger' : ''}
              disabled={refusal !== null}
              onClick={() => choose(action)}
            >
              {action.label}
            </button>
            <span class="note">{refusal ?? action.consequence}</span>
          </li>
        );
      })}
    </ul>
  );
}

interface ConfirmationProps {
  readonly action: Pick<NodeAction, 'label' | 'consequence' | 'isDangerous'>;
  readonly node: string;
  readonly onConfirm: () => void;
  readonly onCancel: () => void;
}

function Confirmation({ action, node, onConfirm, onCancel }: ConfirmationProps) {
  const { label, consequence, isDangerous } = action;
  const confirm = useRef<HTMLButtonElement>(null);
  useEffect(() => confirm.current?.focus(), []);
  return (
    <div class="confirmation" role="group" aria-label={`${label} ${node}?`}>
      <p>
        <b>
          {label} {node}?
        </b>{' '}
        {consequence}
      </p>
      <p class="buttons">
        <button type="button" class={isDangerous ? 'danger' : 'primary'} onClick={onConfirm} ref={confirm}>
          {label} {node}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </p>
    </div>
  );
}
