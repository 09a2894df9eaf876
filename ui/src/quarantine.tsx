// Quarantined entries: what no node applied, to be retried or discarded.

import { useEffect, useState } from 'preact/hooks';
import type { QuarantineEntry } from '../../src/api/admin/quarantine.ts';
import { get, post } from './api.ts';
import { bytesText, countText, timeText } from './format.ts';

type Action = 'retry' | 'discard';

const CONSEQUENCES: Readonly<Record<Action, string>> = {
  retry:
    'The entry is appended to the log again, as a new entry, and applied by every node if they accept it now.',
  discard: 'The write is given up: no node applies it.',
};

interface Chosen {
  readonly lsn: number;
  readonly action: Action;
}

export function QuarantinePage() {
  const [entries, setEntries] = useState<readonly QuarantineEntry[] | null>(null);
  const [chosen, choose] = useState<Chosen | null>(null);
  const [message, setMessage] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const load = async (): Promise<void> => {
    try {
      setEntries((await get<{ entries: QuarantineEntry[] }>('../admin/quarantine')).entries);
      setError(null);
    } catch (failed) {
      setError((failed as Error).message);
    }
  };
  useEffect(() => void load(), []);
  const act = async ({ lsn, action }: Chosen): Promise<void> => {
    choose(null);
    try {
      const result = await post<{ outcome?: string }>(`../admin/quarantine/${lsn}/${action}`);
      setMessage(
        `LSN ${countText(lsn)}: ${action === 'retry' ? (result.outcome ?? 'retried') : 'discarded'}.`,
      );
    } catch (failed) {
      setMessage((failed as Error).message);
    }
    await load();
  };
  return (
    <section class="panel" aria-labelledby="quarantine-title">
      <div class="section-head">
        <h1 id="quarantine-title">Quarantine</h1>
        <span class="note">writes that healthy nodes failed alike</span>
      </div>
      <p class="comparison" role="status">
        {message}
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
                <div class="confirmation" role="group" aria-label="Confirmation">
                  <p>{CONSEQUENCES[chosen.action]}</p>
                  <p class="buttons">
                    <button type="button" class="danger" onClick={() => void act(chosen)}>
                      {chosen.action === 'retry' ? 'Retry' : 'Discard'} LSN {countText(entry.lsn)}
                    </button>
                    <button type="button" onClick={() => choose(null)}>
                      Cancel
                    </button>
                  </p>
                </div>
              ) : (
                <p class="buttons">
                  <button type="button" onClick={() => choose({ lsn: entry.lsn, action: 'retry' })}>
                    Retry
                  </button>
                  <button type="button" onClick={() => choose({ lsn: entry.lsn, action: 'discard' })}>
                    Discard
                  </button>
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
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
    </>
  );
}
