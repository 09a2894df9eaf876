// Events of the cluster: the newest ones live, older ones by pages.

import { useState } from 'preact/hooks';
import type { LiveEvent } from '../../src/api/ui/live-feed.ts';
import { get, type RequestFailed } from './api.ts';
import { detailText } from './event-text.ts';
import { timeText } from './format.ts';
import { linkTo } from './route.ts';
import { Shape } from './state-badge.tsx';

const LEVELS = { info: 'info', warning: 'warning', error: 'critical' } as const;

export function EventsPanel({
  events,
  shown,
}: {
  readonly events: readonly LiveEvent[] | null;
  readonly shown: number;
}) {
  return (
    <section class="panel" aria-labelledby="events-title">
      <div class="section-head">
        <h2 id="events-title">Events</h2>
        <a href={linkTo('events')}>All events</a>
      </div>
      {events === null ? (
        <p class="empty loading">Reading events…</p>
      ) : events.length === 0 ? (
        <p class="empty">Nothing has happened yet.</p>
      ) : (
        <EventRows events={events.slice(0, shown)} />
      )}
    </section>
  );
}

const PAGE = 100;

export function EventsPage({ events }: { readonly events: readonly LiveEvent[] | null }) {
  const [older, setOlder] = useState<readonly LiveEvent[]>([]);
  const [level, setLevel] = useState<'all' | keyof typeof LEVELS>('all');
  const [isComplete, setComplete] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const newest = events ?? [];
  const first = newest.at(-1)?.id ?? Infinity;
  const all = [...newest, ...older.filter(({ id }) => id < first)];
  const shown = all.filter((event) => level === 'all' || event.level === level);
  const more = async (): Promise<void> => {
    const before = all.at(-1)?.id;
    if (before === undefined) return;
    try {
      const page = await get<{ events: LiveEvent[] }>(`../admin/events?before=${before}&limit=${PAGE}`);
      setError(null);
      setOlder([...older, ...page.events]);
      setComplete(page.events.length < PAGE);
    } catch (failed) {
      setError((failed as RequestFailed).message);
    }
  };
  return (
    <section class="panel" aria-labelledby="events-title">
      <div class="section-head">
        <h1 id="events-title">Events</h1>
        <div class="segments" role="group" aria-label="Level">
          {(['all', 'info', 'warning', 'error'] as const).map((each) => (
            <button key={each} type="button" aria-pressed={each === level} onClick={() => setLevel(each)}>
              {each}
            </button>
          ))}
        </div>
      </div>
      {events === null ? (
        <p class="empty loading">Reading events…</p>
      ) : shown.length === 0 ? (
        <p class="empty">No event of this level so far.</p>
      ) : (
        <EventRows events={shown} />
      )}
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {isComplete || all.length < 50 ? null : (
        <p class="buttons">
          <button type="button" onClick={() => void more()}>
            Older events
          </button>
        </p>
      )}
    </section>
  );
}

function EventRows({ events }: { readonly events: readonly LiveEvent[] }) {
  return (
    <ul class="events">
      {events.map(({ id, at, level, kind, node, detail }) => (
        <li key={id} data-kind={kind}>
          <time dateTime={at}>{timeText(at)}</time>
          <span class={`state ${LEVELS[level]}`}>
            <Shape kind={LEVELS[level]} />
            {kind.replaceAll('_', ' ')}
          </span>
          <span class="detail">
            {node === null ? null : <b>{node} </b>}
            {detailText(detail)}
          </span>
        </li>
      ))}
    </ul>
  );
}
