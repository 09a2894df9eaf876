// The frame around every page: navigation, the sentence about the cluster, and the state of the connection.

import { useEffect, useState } from 'preact/hooks';
import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { CapacityPanel } from './capacity-panel.tsx';
import { Charts } from './charts.tsx';
import { CollectionsPage, LargestCollections } from './collections.tsx';
import { EventsPage, EventsPanel } from './event-list.tsx';
import { timeText } from './format.ts';
import { useLive, type Live } from './live.ts';
import { LogPanel } from './log-panel.tsx';
import { NodeDialog } from './node-dialog.tsx';
import { OperationsPanel } from './operations.tsx';
import { QuarantinePage } from './quarantine.tsx';
import { QueryPage } from './query.tsx';
import { RecordsPage } from './records.tsx';
import { linkTo, useRoute, type Route } from './route.ts';
import { SummaryPanel } from './summary.tsx';
import { applyTheme, storedTheme, THEMES, type Theme } from './theme.ts';
import { Topology } from './topology.tsx';

const PAGES = [
  ['overview', 'Overview'],
  ['collections', 'Collections'],
  ['records', 'Records'],
  ['query', 'Query'],
  ['events', 'Events'],
  ['quarantine', 'Quarantine'],
] as const;

export function App() {
  const live = useLive();
  const route = useRoute();
  useTitle(live.state);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.querySelector<HTMLElement>('main')?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <a class="brand" href={linkTo('overview')}>
          <Logo />
          Polychrome
        </a>
        <nav aria-label="Pages">
          {PAGES.map(([page, label]) => (
            <a
              key={page}
              href={linkTo(page)}
              {...(page === route.page ? { 'aria-current': 'page' as const } : {})}
            >
              {label}
              {page === 'quarantine' && (live.state?.status.quarantined.length ?? 0) > 0 ? (
                <span class="count">{live.state?.status.quarantined.length}</span>
              ) : null}
            </a>
          ))}
        </nav>
        <ConnectionState live={live} />
        <ThemeSelect />
      </header>
      <main tabIndex={-1} class={live.connection === 'lost' ? 'is-stale' : ''}>
        {live.state === null ? (
          <Waiting live={live} />
        ) : (
          <Pages live={live} state={live.state} route={route} />
        )}
      </main>
    </>
  );
}

function Pages({
  live,
  state,
  route,
}: {
  readonly live: Live;
  readonly state: LiveState;
  readonly route: Route;
}) {
  const { collections, events } = live;
  return (
    <>
      {live.connection === 'lost' ? (
        <SummaryPanel summary={outdated(state)} now={Date.now()} />
      ) : (
        <SummaryPanel summary={state.summary} now={state.at} />
      )}
      {route.page === 'collections' ? (
        <CollectionsPage collections={collections} total={state.collections} />
      ) : route.page === 'records' ? (
        <RecordsPage collections={collections} route={route} />
      ) : route.page === 'query' ? (
        <QueryPage collections={collections} route={route} />
      ) : route.page === 'events' ? (
        <EventsPage events={events} />
      ) : route.page === 'quarantine' ? (
        <QuarantinePage open={state.status.quarantined} />
      ) : (
        <Overview live={live} state={state} />
      )}
    </>
  );
}

/** What is said while the gateway does not respond: what it said before may no longer be true. */
function outdated({ at }: LiveState): LiveState['summary'] {
  const text = `This gateway has not responded since ${timeText(at)}; what is below is from then.`;
  return {
    level: 'critical',
    text,
    findings: [
      {
        key: 'disconnected',
        severity: 'critical',
        title: 'Disconnected',
        detail: location.host,
        sinceMs: at,
        effect: 'Clients of this gateway may get no response either; other gateways take over.',
        action: 'Look whether the gateway runs. This page tries again every 2 s.',
      },
    ],
  };
}

function Overview({ live, state }: { readonly live: Live; readonly state: LiveState }) {
  const [managed, manage] = useState<string | null>(null);
  return (
    <>
      <div class="grid">
        <div class="span-9">
          <Topology state={state} onManage={manage} />
        </div>
        <div class="span-3">
          <LogPanel state={state} />
        </div>
      </div>
      <Charts samples={live.samples} />
      <div class="grid">
        <div class="span-4">
          <LargestCollections collections={live.collections} total={state.collections} shown={8} />
        </div>
        <div class="span-5">
          <EventsPanel events={live.events} shown={8} />
        </div>
        <div class="span-3 stack">
          <CapacityPanel capacity={state.status.capacity} records={state.records} />
          <OperationsPanel operations={state.operations} now={state.at} />
        </div>
      </div>
      {managed === null ? null : <NodeDialog state={state} id={managed} onClose={() => manage(null)} />}
    </>
  );
}

function Waiting({ live }: { readonly live: Live }) {
  const isLost = live.connection === 'lost';
  return (
    <section class={`summary ${isLost ? 'critical' : 'loading'}`} aria-busy={!isLost}>
      <h1>
        <span role="status">
          {isLost ? 'The gateway does not respond; trying again every 2 s.' : 'Connecting to the gateway…'}
        </span>
      </h1>
    </section>
  );
}

function ConnectionState({ live: { connection, state } }: { readonly live: Live }) {
  if (connection === 'lost' && state !== null)
    return (
      <span class="connection state critical" role="status">
        Disconnected; as of {timeText(state.at)}
      </span>
    );
  return (
    <span class={`connection state ${connection === 'live' ? 'ok' : 'notice'}`}>
      <i class="pulse" aria-hidden="true" />
      {connection === 'live' ? 'Live' : connection === 'lost' ? 'Disconnected' : 'Connecting'}
    </span>
  );
}

const THEME_LABELS: Readonly<Record<Theme, string>> = { auto: 'Auto', light: 'Light', dark: 'Dark' };

function ThemeSelect() {
  const [theme, setTheme] = useState(storedTheme());
  return (
    <label class="theme">
      <span class="hidden">Colours</span>
      <select
        value={theme}
        onChange={({ currentTarget }) => {
          const chosen = THEMES.find((each) => each === currentTarget.value) ?? 'auto';
          setTheme(chosen);
          applyTheme(chosen);
        }}
      >
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {THEME_LABELS[each]}
          </option>
        ))}
      </select>
    </label>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
      <path d="M16 9 9 21M16 9l7 12" stroke="currentColor" stroke-width="1.5" opacity=".45" />
      <circle cx="16" cy="8" r="4.5" fill="var(--reads)" />
      <circle cx="8" cy="22" r="4.5" fill="var(--writes)" />
      <circle cx="24" cy="22" r="4.5" fill="var(--ok)" />
    </svg>
  );
}

const SIGNS: Readonly<Record<LiveState['summary']['level'], string>> = {
  ok: '',
  notice: '',
  warning: '△ ',
  critical: '■ ',
};

/** The condition is seen in the tab of the browser, too. */
function useTitle(state: LiveState | null): void {
  const sign = state === null ? '' : SIGNS[state.summary.level];
  useEffect(() => {
    document.title = `${sign}Polychrome`;
  }, [sign]);
}
