// Quarantined entries: what no node applied, to be retried or discarded.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { QuarantineEntry } from '../../src/api/admin/quarantine.ts';
import type { RetryResult } from '../../src/api/admin/quarantine-retry.ts';
import { get, post } from './api.ts';
import { bytesText, countText, timeText } from './format.ts';

type Action = 'retry' | 'discard';

const LABELS: Readonly<Record<Action, string>> = { retry: 'Retry', discard: 'Discard' };

const CONSEQUENCES: Readonly<Record<Action, string>> = {
  retry: 'The write is appended to the log again, as a new entry, and applied if the nodes accept it now.',
  discard: 'The write is given up: no node applies it.',
};

const OUTCOMES: Readonly<Record<RetryResult['outcome'], string>> = {
  applied: 'and applied.',
  refused: 'and refused by the nodes.',
  quarantined: 'and quarantined again.',
  partly_applied: 'and applied in part.',
  pending: 'and is not applied yet; its outcome will be among the events.',
};

interface Chosen {
  readonly lsn: number;
  readonly action: Action;
}

interface Outcome {
  readonly text: string;
  readonly isFailure: boolean;
}

/** `open`: LSNs of quarantined entries as the live stream has them. */
export function QuarantinePage({ open }: { readonly open: readonly number[] }) {
  const [entries, setEntries] = useState<readonly QuarantineEntry[] | null>(null);
  const [chosen, choose] = useState<Chosen | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [isActing, setActing] = useState(false);
  const load = async (): Promise<void> => {
    try {
      setEntries((await get<{ entries: QuarantineEntry[] }>('../admin/quarantine')).entries);
      setError(null);
    } catch (failed) {
      setError((failed as Error).message);
    }
  };
  useEffect(() => void load(), [open.join()]);
  const act = async ({ lsn, action }: Chosen): Promise<void> => {
    setActing(true);
    setOutcome(await carriedOut(lsn, action));
    await load();
    choose(null);
    setActing(false);
  };
  return (
    <section class="panel" aria-labelledby="quarantine-title">
      <div class="section-head">
        <h1 id="quarantine-title">Quarantine</h1>
        <span class="note">writes that healthy nodes failed alike</span>
      </div>
      <p class={`comparison${outcome?.isFailure === true ? ' error' : ''}`} role="status">
        {outcome?.text}
      </p>
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {entries === null ? (
        error === null ? (
          <p class="empty loading">Reading the quarantine…</p>
        ) : null
      ) : entries.length === 0 ? (
        <p class="empty">No entry is quarantined.</p>
      ) : (
        <ul class="rows quarantine">
          {entries.map((entry) => (
            <li key={entry.lsn}>
              <Entry entry={entry} />
              {chosen?.lsn === entry.lsn ? (
                <Confirmation
                  chosen={chosen}
                  isActing={isActing}
                  onConfirm={() => void act(chosen)}
                  onCancel={() => choose(null)}
                />
              ) : (
                <p class="buttons">
                  {(['retry', 'discard'] as const).map((action) => (
                    <button
                      key={action}
                      type="button"
                      disabled={isActing}
                      aria-label={`${LABELS[action]} LSN ${countText(entry.lsn)}…`}
                      onClick={() => choose({ lsn: entry.lsn, action })}
                    >
                      {LABELS[action]}
                    </button>
                  ))}
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Does it, and says how it ended. */
async function carriedOut(lsn: number, action: Action): Promise<Outcome> {
  const entry = `LSN ${countText(lsn)}`;
  try {
    const result = await post<RetryResult>(`../admin/quarantine/${lsn}/${action}`);
    if (action === 'discard') return { text: `${entry} was discarded.`, isFailure: false };
    const { retriedLSN, outcome, response } = result;
    const said = response === null ? '' : ` Nodes responded ${response.status}: ${response.body}`;
    return {
      text: `${entry} was appended again as LSN ${countText(retriedLSN)} ${OUTCOMES[outcome]}${said}`,
      isFailure: outcome !== 'applied' && outcome !== 'pending',
    };
  } catch (failed) {
    return { text: (failed as Error).message, isFailure: true };
  }
}

interface ConfirmationProps {
  readonly chosen: Chosen;
  readonly isActing: boolean;
  readonly onConfirm: () => void;
  readonly onCancel: () => void;
}

function Confirmation({ chosen: { lsn, action }, isActing, onConfirm, onCancel }: ConfirmationProps) {
  const confirm = useRef<HTMLButtonElement>(null);
  useEffect(() => confirm.current?.focus(), []);
  return (
    <div class="confirmation" role="group" aria-label="Confirmation" aria-busy={isActing}>
      <p>{CONSEQUENCES[action]}</p>
      {isActing ? <progress aria-label={`${LABELS[action]} LSN ${countText(lsn)}`} /> : null}
      <p class="buttons">
        <button
          type="button"
          class={action === 'discard' ? 'danger' : 'primary'}
          disabled={isActing}
          onClick={onConfirm}
          ref={confirm}
        >
          {LABELS[action]} LSN {countText(lsn)}
        </button>
        <button type="button" disabled={isActing} onClick={onCancel}>
          Cancel
        </button>
      </p>
    </div>
  );
}

function Entry({ entry }: { readonly entry: QuarantineEntry }) {
  const { lsn, kind, collection, bodyBytes, status, response, quarantinedAt } = entry;
  return (
    <>
      <p>
        <b>LSN {countText(lsn)}</b> {kind.replace('_', ' ')}{' '}
        {collection === null ? '' : `on ${collection.name}`}, {bytesText(bodyBytes)}
        <span class="since">{timeText(quarantinedAt)}</span>
      </p>
      <p class="remark">
        Nodes responded {status}: {response}
      </p>
      <Content lsn={lsn} />
    </>
  );
}

/** What the write contains, as far as the gateway shows it; read when it is opened. */
function Content({ lsn }: { readonly lsn: number }) {
  const [text, setText] = useState<string | null>(null);
  const open = async (): Promise<void> => {
    if (text !== null) return;
    try {
      setText((await get<{ body: string }>(`../admin/quarantine/${lsn}`)).body);
    } catch (failed) {
      setText((failed as Error).message);
    }
  };
  return (
    <details class="content" onToggle={({ currentTarget }) => (currentTarget.open ? void open() : undefined)}>
      <summary>Content of the write</summary>
      <pre class="wrapped" tabIndex={0} aria-label={`Content of LSN ${countText(lsn)}`}>
        {text ?? 'Reading…'}
      </pre>
    </details>
  );
}
