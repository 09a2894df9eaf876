// The log: how far each node is, what waits, and how much room it has.

import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { bytesText, countText } from './format.ts';
import { Meter } from './meter.tsx';

export function LogPanel({ state }: { readonly state: LiveState }) {
  const { status, log } = state;
  const { disk, trimmed, waiting } = log;
  const from = Math.min(trimmed, ...status.nodes.map(({ checkpoint }) => checkpoint));
  return (
    <section class="panel" aria-labelledby="log-title">
      <div class="section-head">
        <h2 id="log-title">Log</h2>
        <span class="note">
          {status.head === trimmed
            ? 'no entries'
            : `LSN ${countText(trimmed + 1)} to ${countText(status.head)}`}
        </span>
      </div>
      <ul class="positions">
        {status.nodes.map(({ id, checkpoint, lag }) => (
          <li key={id}>
            <span class="legend-label">{id}</span>
            <Meter
              label={`${id} has applied`}
              value={status.head === from ? 1 : checkpoint - from}
              max={Math.max(1, status.head - from)}
            />
            <b class="number">{lag.entries === 0 ? 'at head' : `−${countText(lag.entries)}`}</b>
          </li>
        ))}
      </ul>
      <dl class="facts">
        <dt>Waiting to be appended</dt>
        <dd>{countText(waiting.append)}</dd>
        <dt>Waiting to be acknowledged</dt>
        <dd>{countText(waiting.acknowledgement)}</dd>
        <dt>Quarantined</dt>
        <dd>
          {status.quarantined.length === 0 ? (
            '0'
          ) : (
            <a href="#/quarantine">{countText(status.quarantined.length)}</a>
          )}
        </dd>
        <dt>Database</dt>
        <dd>{bytesText(disk?.databaseBytes ?? null)}</dd>
        <dt>Log, of {bytesText(disk?.logBytesMax ?? null)}</dt>
        <dd>{bytesText(disk?.logBytes ?? null)}</dd>
      </dl>
      {disk === null ? null : (
        <Meter label="The log's share of WAL_RETENTION_BYTES" value={disk.logBytes} max={disk.logBytesMax} />
      )}
    </section>
  );
}
