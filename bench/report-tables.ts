// Markdown tables of the benchmark report.

import type { Goal } from './goals.ts';
import type { BesideBulk, LatencySummary, Results } from './results.ts';

/** Throughput, latency and failures of every workload and target. */
export function workloadTable(results: Results): string[] {
  return [
    '| workload | target | operations/s | spread | p50 ms | p99 ms | × direct | × ceiling | failed |',
    '|---|---|--:|--:|--:|--:|--:|--:|--:|',
    ...results.workloads.flatMap((workload) => workloadRows(results, workload)),
    '',
  ];
}

function workloadRows(results: Results, workload: string): string[] {
  const reference = (name: string): number | undefined => results.cell(workload, name)?.qps.median;
  return results.targets(workload).map((target) => {
    const cell = results.cell(workload, target);
    const failures = [...results.failures(workload, target)];
    const failed =
      failures.length === 0 ? '0' : failures.map(([why, count]) => `${count} × ${oneLine(why)}`).join(', ');
    if (cell === undefined) return row([workload, target, '–', '–', '–', '–', '–', '–', failed]);
    const { median, min, max } = cell.qps;
    return row([
      workload,
      target,
      whole(median),
      `${whole(min)}–${whole(max)}`,
      milliseconds(cell.p50Ms),
      milliseconds(cell.p99Ms),
      ratio(median, reference('direct')),
      ratio(median, reference('ceiling')),
      failed,
    ]);
  });
}

export function goalTable(goals: readonly Goal[]): string[] {
  if (goals.length === 0) return [];
  return [
    '| goal | target | measured | limit | met |',
    '|---|---|--:|--:|---|',
    ...goals.map(({ name, target, measured, bound, limit, isMet }) =>
      row([name, target, measured.toFixed(2), `${bound} ${limit}`, isMet ? 'yes' : '**no**']),
    ),
    '',
  ];
}

/** Additional values of workloads. */
export function moreTable(results: Results): string[] {
  const rows = results.workloads.flatMap((workload) =>
    results
      .targets(workload)
      .flatMap((target) =>
        Object.entries(results.cell(workload, target)?.more ?? {}).map(([name, value]) =>
          row([workload, target, name, whole(value)]),
        ),
      ),
  );
  if (rows.length === 0) return [];
  return ['| workload | target | measured | value |', '|---|---|---|--:|', ...rows, ''];
}

/** Reads beside each bulk load, all targets side by side. */
export function besideBulkTable(loads: Results['besideBulk']): string[] {
  const lines: string[] = [];
  for (const [load, targets] of loads) {
    lines.push(`## read_beside_bulk: reads during ${load}`, '');
    lines.push(
      '| collection | operation | target | idle p50 ms | idle p99 ms | p50 ms | p99 ms | slowest ms | p99 × idle | p99 × direct | slowest × one part | failed |',
      '|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
      ...besideBulkRows(targets),
      '',
    );
    for (const [target, { recordsPerSecond, partMs, failedCalls }] of targets) {
      lines.push(
        `- ${target}: ${whole(recordsPerSecond)} records/s loaded, ${failedCalls} failed calls; one part of a split call takes ${milliseconds(partMs)} ms when idle.`,
      );
    }
    lines.push('');
  }
  return lines;
}

function besideBulkRows(targets: ReadonlyMap<string, BesideBulk>): string[] {
  const direct = targets.get('direct');
  const streams = [...targets.values()][0]?.streams ?? [];
  return streams.flatMap(({ collection, operation }, index) =>
    [...targets].map(([target, { streams: measured, partMs }]) => {
      const { idle, underLoad } = measured[index]!;
      return row([
        collection,
        operation,
        target,
        ...latencies(idle),
        ...latencies(underLoad),
        milliseconds(underLoad.maxMs),
        ratio(underLoad.p99Ms, idle.p99Ms),
        ratio(underLoad.p99Ms, direct?.streams[index]?.underLoad.p99Ms),
        ratio(underLoad.maxMs, partMs),
        String(idle.failed + underLoad.failed),
      ]);
    }),
  );
}

const latencies = ({ p50Ms, p99Ms }: LatencySummary): string[] => [p50Ms, p99Ms].map(milliseconds);

export function sweepTables(sweeps: Results['sweeps']): string[] {
  const lines: string[] = [];
  for (const [workload, targets] of sweeps) {
    lines.push(`## ${workload}: latency at a given rate`, '');
    lines.push(
      '| target | offered/s | completed/s | p50 ms | p99 ms | failed |',
      '|---|--:|--:|--:|--:|--:|',
    );
    for (const [target, points] of targets) {
      for (const { rate, qps, p50Ms, p99Ms, failed } of points) {
        const latency = [p50Ms, p99Ms].map(milliseconds);
        lines.push(row([target, whole(rate), whole(qps), ...latency, String(failed)]));
      }
    }
    lines.push('');
  }
  return lines;
}

/** `text` on one line, safe inside a table cell. */
export const oneLine = (text: string): string =>
  text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 300);

const row = (columns: readonly string[]): string => `| ${columns.join(' | ')} |`;
const whole = (value: number): string =>
  value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString('en');
const milliseconds = (value: number): string =>
  Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 2 : 0);
const ratio = (value: number, reference: number | undefined): string =>
  reference === undefined ? '–' : (value / reference).toFixed(2);
