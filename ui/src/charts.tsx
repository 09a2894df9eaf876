// The charts of the overview: live, or from the history that the gateways keep in PostgreSQL.

import { useEffect, useState } from 'preact/hooks';
import { get } from './api.ts';
import { Chart, type Series } from './chart.tsx';
import { millisText, shortText } from './format.ts';
import type { LiveSample } from './live.ts';

/** What is plotted, whatever it comes from. */
interface Columns {
  readonly times: readonly number[];
  readonly reads: Column;
  readonly writes: Column;
  readonly failed: Column;
  readonly readMs: readonly [Column, Column, Column];
  readonly writeMs: readonly [Column, Column, Column];
  readonly backlog: Readonly<Record<string, Column>>;
  readonly outages: readonly boolean[];
}

type Column = readonly (number | null)[];

/** GET /admin/history, as far as it is plotted. */
interface History {
  readonly times: readonly number[];
  readonly requests: {
    readonly failedPerSecond: Column;
    readonly reads: HistoryRequests;
    readonly writes: HistoryRequests;
  };
  readonly nodes: Readonly<Record<string, { readonly serving: Column; readonly lagEntries: Column }>>;
}

type HistoryRequests = Readonly<Record<'perSecond' | 'p50Ms' | 'p95Ms' | 'p99Ms', Column>>;

const RANGES = [
  ['live', 'Live'],
  ['1h', '1 h'],
  ['6h', '6 h'],
  ['24h', '24 h'],
  ['7d', '7 d'],
] as const;
type Range = (typeof RANGES)[number][0];

const REFRESH_MS = 30_000;
const LIVE_SECONDS = 600;
const PERCENTILES = ['P50', 'P95', 'P99'] as const;
/** Colours of nodes, in their order; the ninth is the first again. */
const NODE_COLORS = 8;

export function Charts({ samples }: { readonly samples: readonly LiveSample[] }) {
  const [range, setRange] = useState<Range>('live');
  const history = useHistory(range);
  const live = liveColumns(samples);
  const columns = range === 'live' ? joined(history, live) : (history ?? live);
  return (
    <section aria-labelledby="charts-title">
      <div class="section-head">
        <h2 id="charts-title">Requests and replication</h2>
        {history === null && range === 'live' ? (
          <span class="note">last minutes</span>
        ) : (
          <div class="segments" role="group" aria-label="Time range">
            {RANGES.map(([value, label]) => (
              <button
                key={value}
                type="button"
                aria-pressed={value === range}
                onClick={() => setRange(value)}
              >
                {label}
              </button>
            ))}
          </div>
        )}
      </div>
      <div class="charts">{plots(columns)}</div>
    </section>
  );
}

function plots({ times, outages, ...columns }: Columns) {
  const shared = { times, outages };
  const percentiles = (of: readonly [Column, Column, Column], colors: string): Series[] =>
    PERCENTILES.map((label, at) => ({ label, color: `${colors}-${at + 1}`, values: of[at] ?? [] }));
  return (
    <>
      <Chart
        {...shared}
        title="Throughput"
        unit="requests per second"
        format={shortText}
        series={[
          { label: 'reads', color: 'reads', values: columns.reads },
          { label: 'writes', color: 'writes', values: columns.writes },
          { label: 'failed', color: 'critical', values: columns.failed },
        ]}
      />
      <Chart
        {...shared}
        title="Read latency"
        unit="ms"
        format={millisText}
        series={percentiles(columns.readMs, 'reads')}
      />
      <Chart
        {...shared}
        title="Write latency"
        unit="ms"
        format={millisText}
        series={percentiles(columns.writeMs, 'writes')}
      />
      <Chart
        {...shared}
        title="Backlog"
        unit="entries not applied yet"
        least={4}
        format={shortText}
        series={Object.entries(columns.backlog).map(([label, values], at) => ({
          label,
          color: `node-${(at % NODE_COLORS) + 1}`,
          values,
        }))}
      />
    </>
  );
}

/** The history of a range, read again now and then; null while there is none. */
function useHistory(range: Range): Columns | null {
  const [read, setRead] = useState<{ readonly range: Range; readonly columns: Columns } | null>(null);
  useEffect(() => {
    let isCurrent = true;
    const load = async (): Promise<void> => {
      const query = range === 'live' ? 'range=10m&resolution=10s' : `range=${range}`;
      const history = await get<History>(`../admin/history?${query}`).catch(() => null);
      if (isCurrent && history !== null) setRead({ range, columns: historyColumns(history) });
    };
    void load();
    const timer = window.setInterval(() => void load(), REFRESH_MS);
    return () => {
      isCurrent = false;
      window.clearInterval(timer);
    };
  }, [range]);
  return read?.range === range ? read.columns : null;
}

function historyColumns({ times, requests, nodes }: History): Columns {
  const percentiles = ({ p50Ms, p95Ms, p99Ms }: HistoryRequests): [Column, Column, Column] => [
    p50Ms,
    p95Ms,
    p99Ms,
  ];
  return {
    times,
    reads: requests.reads.perSecond,
    writes: requests.writes.perSecond,
    failed: requests.failedPerSecond,
    readMs: percentiles(requests.reads),
    writeMs: percentiles(requests.writes),
    backlog: Object.fromEntries(Object.entries(nodes).map(([id, { lagEntries }]) => [id, lagEntries])),
    outages: times.map((_time, at) => Object.values(nodes).some(({ serving }) => (serving[at] ?? 1) < 0.999)),
  };
}

function liveColumns(samples: readonly LiveSample[]): Columns {
  const ids = Object.keys(samples.at(-1)?.backlog ?? {});
  const percentile = (of: 'readMs' | 'writeMs', at: 0 | 1 | 2): Column =>
    samples.map((sample) => sample[of][at]);
  const three = (of: 'readMs' | 'writeMs'): [Column, Column, Column] => [
    percentile(of, 0),
    percentile(of, 1),
    percentile(of, 2),
  ];
  return {
    times: samples.map(({ time }) => time),
    reads: samples.map(({ reads }) => reads),
    writes: samples.map(({ writes }) => writes),
    failed: samples.map(({ failed }) => failed),
    readMs: three('readMs'),
    writeMs: three('writeMs'),
    backlog: Object.fromEntries(ids.map((id) => [id, samples.map(({ backlog }) => backlog[id] ?? null)])),
    outages: samples.map(({ out }) => out.length > 0),
  };
}

/** The history up to where the samples of this page begin, then these. */
function joined(history: Columns | null, live: Columns): Columns {
  const begin = live.times[0] ?? Infinity;
  const oldest = (live.times.at(-1) ?? Date.now() / 1_000) - LIVE_SECONDS;
  // Before anything was recorded there is nothing to leave room for.
  const first = history === null ? -1 : history.failed.findIndex((value) => value !== null);
  const kept = (history?.times ?? []).flatMap((time, at) =>
    first >= 0 && at >= first && time < begin && time > oldest ? [at] : [],
  );
  if (history === null || kept.length === 0) return live;
  const join = <T,>(before: readonly T[] | undefined, after: readonly T[], none: T): T[] => [
    ...kept.map((at) => before?.[at] ?? none),
    ...after,
  ];
  const column = (of: (columns: Columns) => Column): Column => join(of(history), of(live), null);
  const three = (of: 'readMs' | 'writeMs'): [Column, Column, Column] => [
    column((columns) => columns[of][0]),
    column((columns) => columns[of][1]),
    column((columns) => columns[of][2]),
  ];
  return {
    times: join(history.times, live.times, 0),
    reads: column(({ reads }) => reads),
    writes: column(({ writes }) => writes),
    failed: column(({ failed }) => failed),
    readMs: three('readMs'),
    writeMs: three('writeMs'),
    backlog: Object.fromEntries(
      Object.keys(live.backlog).map((id) => [id, join(history.backlog[id], live.backlog[id] ?? [], null)]),
    ),
    outages: join(history.outages, live.outages, false),
  };
}
