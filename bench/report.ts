// Writes down what was measured: a Markdown table with charts for people, JSON for programs.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BarGroup, barChart, latencyChart } from './charts.ts';
import type { Machine } from './machine.ts';
import type { Results } from './results.ts';
import type { Settings } from './settings.ts';

export interface ReportContext {
  readonly machine: Machine;
  readonly settings: Settings;
  /** What each workload is, by its name. */
  readonly titles: ReadonlyMap<string, string>;
  readonly date: Date;
}

type JSONCell = Record<string, number>;

/** {"workloads": {NAME: {TARGET: {"qps", "p50_ms", "p99_ms", …}}}}; sweeps beside them. */
export function jsonReport(results: Results, { machine, settings, date }: ReportContext): string {
  const workloads: Record<string, Record<string, JSONCell>> = {};
  for (const workload of results.workloads) {
    const ofWorkload: Record<string, JSONCell> = (workloads[workload] = {});
    for (const target of results.targets(workload)) {
      const cell = results.cell(workload, target);
      if (cell === undefined) continue;
      ofWorkload[target] = {
        qps: rounded(cell.qps.median),
        p50_ms: rounded(cell.p50Ms),
        p99_ms: rounded(cell.p99Ms),
        qps_min: rounded(cell.qps.min),
        qps_max: rounded(cell.qps.max),
        failed: total(cell.failures),
        ...Object.fromEntries(
          Object.entries(cell.more).map(([name, value]) => [jsonName(name), rounded(value)]),
        ),
      };
    }
  }
  const sweeps = Object.fromEntries(
    [...results.sweeps].map(([workload, targets]) => [workload, Object.fromEntries(targets)]),
  );
  const about = {
    date: date.toISOString(),
    machine: machine.lines,
    warning: machine.warning,
    quick: settings.quick,
  };
  return `${JSON.stringify({ ...about, workloads, sweeps, notes: results.notes }, undefined, 2)}\n`;
}

/** "kill -9: longest pause of reads, ms" becomes "kill_9_longest_pause_of_reads_ms". */
function jsonName(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '');
}

export function markdownReport(results: Results, context: ReportContext, charts: readonly string[]): string {
  const { machine, settings, titles, date } = context;
  const { rounds, durationMs } = settings;
  const warning =
    machine.warning === null ? [] : ['', `**${machine.warning} These are no numbers to quote.**`];
  const quick = settings.quick
    ? ['', '**A quick run**: it shows that everything works, and roughly where it stands.']
    : [];
  return [
    '# Benchmark results',
    '',
    `${date.toISOString().slice(0, 10)}. ${machine.lines.join('. ')}.`,
    ...warning,
    ...quick,
    '',
    `Medians of ${rounds} rounds of ${durationMs / 1_000} s, the targets in turn within each round. An operation is one`,
    'query, one get or one record added, however many a call holds. Latencies are of calls.',
    '',
    ...charts.flatMap((chart) => [`![${chart}](${chart})`, '']),
    '| workload | target | operations/s | spread | p50 ms | p99 ms | × direct | × ceiling | failed |',
    '|---|---|--:|--:|--:|--:|--:|--:|--:|',
    ...results.workloads.flatMap((workload) => tableRows(results, workload)),
    '',
    ...[...results.workloads].map((name) => `- **${name}**: ${titles.get(name) ?? ''}`),
    '',
    ...moreTable(results),
    ...sweepTables(results),
    ...(results.notes.length === 0
      ? []
      : ['## Notes', '', ...results.notes.map((note) => `- ${oneLine(note)}`), '']),
  ].join('\n');
}

function tableRows(results: Results, workload: string): string[] {
  const reference = (name: string): number | undefined => results.cell(workload, name)?.qps.median;
  return results.targets(workload).map((target) => {
    const cell = results.cell(workload, target);
    const failures = [...results.failures(workload, target)];
    const failed =
      failures.length === 0 ? '0' : failures.map(([why, count]) => `${count} × ${oneLine(why)}`).join(', ');
    if (cell === undefined) return `| ${workload} | ${target} | – | – | – | – | – | – | ${failed} |`;
    const { median, min, max } = cell.qps;
    const columns = [
      workload,
      target,
      whole(median),
      `${whole(min)}–${whole(max)}`,
      milliseconds(cell.p50Ms),
      milliseconds(cell.p99Ms),
      times(median, reference('direct')),
      times(median, reference('ceiling')),
      failed,
    ];
    return `| ${columns.join(' | ')} |`;
  });
}

function moreTable(results: Results): string[] {
  const rows = results.workloads.flatMap((workload) =>
    results
      .targets(workload)
      .flatMap((target) =>
        Object.entries(results.cell(workload, target)?.more ?? {}).map(
          ([name, value]) => `| ${workload} | ${target} | ${name} | ${whole(value)} |`,
        ),
      ),
  );
  if (rows.length === 0) return [];
  return ['| workload | target | measured | value |', '|---|---|---|--:|', ...rows, ''];
}

function sweepTables(results: Results): string[] {
  const lines: string[] = [];
  for (const [workload, targets] of results.sweeps) {
    lines.push(`## ${workload}: latency at a given rate`, '');
    lines.push(
      '| target | arriving/s | answered/s | p50 ms | p99 ms | failed |',
      '|---|--:|--:|--:|--:|--:|',
    );
    for (const [target, points] of targets) {
      for (const { rate, qps, p50Ms, p99Ms, failed } of points) {
        const latency = `${milliseconds(p50Ms)} | ${milliseconds(p99Ms)}`;
        lines.push(`| ${target} | ${whole(rate)} | ${whole(qps)} | ${latency} | ${failed} |`);
      }
    }
    lines.push('');
  }
  return lines;
}

/** Writes the table and its charts into `dir`; returns the table's path. */
export async function writeReport(dir: string, results: Results, context: ReportContext): Promise<string> {
  mkdirSync(dir, { recursive: true });
  const charts = new Map<string, string>();
  const groups = barGroups(results);
  if (groups.length > 0)
    charts.set('throughput.svg', await barChart('Throughput relative to a bare server', groups, 1));
  for (const [workload, curves] of results.sweeps) {
    charts.set(
      `latency-${workload}.svg`,
      await latencyChart(`${workload}: latency against throughput`, curves),
    );
  }
  for (const [name, svg] of charts) writeFileSync(join(dir, name), svg);
  const file = join(dir, 'results.md');
  writeFileSync(file, markdownReport(results, context, [...charts.keys()]));
  writeFileSync(join(dir, 'results.json'), jsonReport(results, context));
  return file;
}

/** Throughput relative to the bare server, for workloads measured on it. */
function barGroups(results: Results): BarGroup[] {
  return results.workloads.flatMap((workload) => {
    const bare = results.cell(workload, 'direct')?.qps.median;
    if (bare === undefined) return [];
    const bars = results.targets(workload).flatMap((target) => {
      const cell = results.cell(workload, target);
      return cell === undefined ? [] : [{ target, value: cell.qps.median / bare }];
    });
    return [{ name: workload, bars }];
  });
}

const total = (failures: ReadonlyMap<string, number>): number =>
  [...failures.values()].reduce((sum, count) => sum + count, 0);
const rounded = (value: number): number => Number(value.toPrecision(5));
const whole = (value: number): string =>
  value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString('en');
const milliseconds = (value: number): string =>
  Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 2 : 0);
const times = (value: number, reference: number | undefined): string =>
  reference === undefined ? '–' : (value / reference).toFixed(2);
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 300);
