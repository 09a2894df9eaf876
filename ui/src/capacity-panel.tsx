// How large the data is, how fast it grows, and when a limit is reached.

import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { bytesText, countText } from './format.ts';
import { Meter } from './meter.tsx';

type Capacity = NonNullable<LiveState['status']['capacity']>;

const NAMES: Readonly<Record<Capacity['resources'][number]['resource'], string>> = {
  node_memory: 'Memory of a node',
  node_disk: 'Disk of a node',
  database: 'PostgreSQL',
  log: 'Log',
};

interface CapacityPanelProps {
  readonly capacity: Capacity | null;
  /** Of all collections at this moment; null while they are being counted. */
  readonly records: number | null;
}

export function CapacityPanel({ capacity, records }: CapacityPanelProps) {
  return (
    <section class="panel" aria-labelledby="capacity-title">
      <div class="section-head">
        <h2 id="capacity-title">Capacity</h2>
        {capacity === null || capacity.recordsPerDay === null ? null : (
          <span class="note">{signed(capacity.recordsPerDay, countText)} records a day</span>
        )}
      </div>
      {capacity === null || capacity.resources.length === 0 ? (
        <p class="empty">Sizes are recorded now and then; their growth is known after a day.</p>
      ) : (
        <ul class="capacity">
          {capacity.resources.map((resource) => (
            <li key={resource.resource}>
              <Resource resource={resource} isCounted={resource.bytes > 0 || records === 0} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

interface ResourceProps {
  readonly resource: Capacity['resources'][number];
  /** False: the history has counted none of the records that there are. */
  readonly isCounted: boolean;
}

function Resource({ resource, isCounted }: ResourceProps) {
  const { basis, bytes, bytesPerDay, limitBytes, limitReached, advice } = resource;
  const name = NAMES[resource.resource];
  const growth = bytesPerDay === null ? null : `${signed(bytesPerDay, bytesText)} a day`;
  const end = limitReached === null ? null : `full on ${limitReached}`;
  return (
    <>
      <p title={basis}>
        <span>{basis.startsWith('estimated') ? `${name}, by estimate` : name}</span>
        <b class="number">
          {isCounted ? bytesText(bytes) : 'counted every hour'}
          {limitBytes === null ? '' : ` of ${bytesText(limitBytes)}`}
        </b>
      </p>
      {limitBytes === null ? null : <Meter label={`${name}, used`} value={bytes} max={limitBytes} />}
      {growth === null && end === null ? null : (
        <p class="note">{[growth, end].filter((part) => part !== null).join('; ')}</p>
      )}
      {advice === null ? null : <p class="advice">{advice}</p>}
    </>
  );
}

function signed(value: number, text: (value: number) => string): string {
  return value < 0 ? `−${text(-value)}` : `+${text(value)}`;
}
