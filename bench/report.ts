// Writes the results of a run as Markdown with charts and as JSON.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BarGroup, barChart, latencyChart } from './charts.ts';
import { evaluateGoals, type Goal } from './goals.ts';
import type { Machine } from './machine.ts';
import {
  besideBulkTable,
  goalTable,
  moreTable,
  oneLine,
  sweepTables,
  workloadTable,
} from './report-tables.ts';
import type { BesideBulk, Results, SweepPoint } from './results.ts';
import type { Settings } from './settings.ts';

export interface ReportContext {
  readonly machine: Machine;
  readonly settings: Settings;
  /** Titles of all workloads by name. */
  readonly titles: ReadonlyMap<string, string>;
  readonly date: Date;
}

type JSONCell = Readonly<Record<string, number>> & { readonly qps: number };
type ByTarget<T> = Readonly<Record<string, Readonly<Record<string, T>>>>;

/** The structure of results.json: measurements by workload or bulk load, then by target. */
interface JSONReport {
  readonly date: string;
  readonly machine: readonly string[];
  readonly warning: string | null;
  readonly quick: boolean;
  readonly goals: readonly Goal[];
  readonly workloads: ByTarget<JSONCell>;
  readonly read_beside_bulk: ByTarget<BesideBulk>;
  readonly sweeps: ByTarget<readonly SweepPoint[]>;
  readonly notes: readonly string[];
}

type ChartData = Pick<JSONReport, 'workloads' | 'sweeps'>;

export function jsonReport(results: Results, context: ReportContext): string {
  return `${JSON.stringify(reportData(results, context), undefined, 2)}\n`;
}

function reportData(results: Results, { machine, settings, date }: ReportContext): JSONReport {
  return {
    date: date.toISOString(),
    machine: machine.lines,
    warning: machine.warning,
    quick: settings.quick,
    goals: evaluateGoals(results).map((goal) => ({ ...goal, measured: rounded(goal.measured) })),
    workloads: Object.fromEntries(results.workloads.map((name) => [name, jsonCells(results, name)])),
    read_beside_bulk: byTarget(results.besideBulk),
    sweeps: byTarget(results.sweeps),
    notes: results.notes,
  };
}

function jsonCells(results: Results, workload: string): Record<string, JSONCell> {
  const cells: Record<string, JSONCell> = {};
  for (const target of results.targets(workload)) {
    const cell = results.cell(workload, target);
    if (cell === undefined) continue;
    cells[target] = {
      qps: rounded(cell.qps.median),
      p50_ms: rounded(cell.p50Ms),
      p99_ms: rounded(cell.p99Ms),
      qps_min: rounded(cell.qps.min),
      qps_max: rounded(cell.qps.max),
      failed: [...cell.failures.values()].reduce((sum, count) => sum + count, 0),
      ...Object.fromEntries(
        Object.entries(cell.more).map(([name, value]) => [jsonName(name), rounded(value)]),
      ),
    };
  }
  return cells;
}

function byTarget<T>(maps: ReadonlyMap<string, ReadonlyMap<string, T>>): ByTarget<T> {
  return Object.fromEntries([...maps].map(([name, targets]) => [name, Object.fromEntries(targets)]));
}

const rounded = (value: number): number => Number(value.toPrecision(5));

/** Converts "kill -9: longest pause of reads, ms" to "kill_9_longest_pause_of_reads_ms". */
function jsonName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '');
}

export function markdownReport(results: Results, context: ReportContext, charts: readonly string[]): string {
  const { machine, settings, titles, date } = context;
  const { rounds, durationMs, bulkMs } = settings;
  const warning = machine.warning === null ? [] : ['', `**${machine.warning} Do not quote these results.**`];
  const quick = settings.quick ? ['', '**Quick run**: a smoke test; the numbers are rough.'] : [];
  const names = [...results.workloads, ...(results.besideBulk.size > 0 ? ['read_beside_bulk'] : [])];
  return [
    '# Benchmark results',
    '',
    `${date.toISOString().slice(0, 10)}. ${machine.lines.join('. ')}.`,
    ...warning,
    ...quick,
    '',
    `Medians of ${rounds} rounds of ${durationMs / 1_000} s (bulk workloads: ${bulkMs / 1_000} s); the targets alternate within each round. An operation`,
    'is one query, one get or one added record, regardless of how many a call contains. Latencies are per call.',
    '',
    ...charts.flatMap((chart) => [`![${chart}](${chart})`, '']),
    ...goalTable(evaluateGoals(results)),
    ...workloadTable(results),
    ...[...new Set(names)].map((name) => `- **${name}**: ${titles.get(name) ?? ''}`),
    '',
    ...moreTable(results),
    ...besideBulkTable(results.besideBulk),
    ...sweepTables(results.sweeps),
    ...(results.notes.length === 0
      ? []
      : ['## Notes', '', ...results.notes.map((note) => `- ${oneLine(note)}`), '']),
  ].join('\n');
}

/** Writes Markdown, JSON and charts into `dir`; returns the path of the Markdown file. */
export async function writeReport(dir: string, results: Results, context: ReportContext): Promise<string> {
  mkdirSync(dir, { recursive: true });
  const charts = await writeCharts(dir, reportData(results, context));
  const file = join(dir, 'results.md');
  writeFileSync(file, markdownReport(results, context, charts));
  writeFileSync(join(dir, 'results.json'), jsonReport(results, context));
  return file;
}

/** Redraws the charts in `dir` from its results.json. */
export async function redrawCharts(dir: string): Promise<void> {
  await writeCharts(dir, JSON.parse(readFileSync(join(dir, 'results.json'), 'utf8')) as ChartData);
}

/** Returns the names of the charts. */
async function writeCharts(dir: string, { workloads, sweeps }: ChartData): Promise<string[]> {
  const charts = new Map<string, string>();
  const groups = Object.entries(workloads).flatMap(([name, cells]) => barGroup(name, cells));
  if (groups.length > 0) {
    charts.set('throughput.svg', await barChart('Throughput relative to a bare server', groups, 1));
  }
  for (const [workload, curves] of Object.entries(sweeps)) {
    const title = `${workload}: latency against throughput`;
    charts.set(`latency-${workload}.svg`, await latencyChart(title, new Map(Object.entries(curves))));
  }
  for (const [name, svg] of charts) writeFileSync(join(dir, name), svg);
  return [...charts.keys()];
}

/** Throughput relative to the bare server; empty for workloads that the bare server does not run. */
function barGroup(name: string, cells: Readonly<Record<string, JSONCell>>): BarGroup[] {
  const reference = cells['direct']?.qps;
  if (reference === undefined) return [];
  const bars = Object.entries(cells).map(([target, { qps }]) => ({ target, value: qps / reference }));
  return [{ name, bars }];
}
