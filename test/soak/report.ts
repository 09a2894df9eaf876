// The report of a soak as Markdown: measurements by minute, and their growth.

import { median } from '../../bench/statistics.ts';
import type { SoakResult, SoakSample } from './soak.ts';

export interface SoakContext {
  readonly minutes: number;
  readonly machine: string;
  readonly date: string;
}

interface Quantity {
  readonly name: string;
  readonly unit: string;
  readonly of: (sample: SoakSample) => number;
}

const MIB = 2 ** 20;
const QUANTITIES: readonly Quantity[] = [
  { name: 'resident memory', unit: 'MiB', of: ({ rssBytes }) => rssBytes / MIB },
  { name: 'heap used', unit: 'MiB', of: ({ heapUsedBytes }) => heapUsedBytes / MIB },
  { name: 'handles', unit: '', of: ({ handles }) => handles },
  { name: 'PostgreSQL', unit: 'MiB', of: ({ postgresBytes }) => postgresBytes / MIB },
];

/** Change from the second quarter to the last, in percent; the first quarter warms up. */
export function growthPercent(values: readonly number[]): number {
  const quarter = Math.floor(values.length / 4);
  const early = median(values.slice(quarter, 2 * quarter));
  const late = median(values.slice(-quarter));
  return ((late - early) / early) * 100;
}

/** The report. */
export function soakReport(result: SoakResult, { minutes, machine, date }: SoakContext): string {
  const { samples, requests, failures, broken } = result;
  const delays = samples.map(({ delayP99Ms }) => delayP99Ms);
  return [
    `# Soak, ${date}`,
    '',
    `${minutes} minutes of writes, deletes by id and by filter, queries, gets, collections that come and go, abandoned`,
    `uploads and 500 idle connections, over three nodes; load, servers, PostgreSQL and gateway share ${machine}.`,
    `The gateway keeps \`WAL_RETENTION=${result.retention}\` of log. Made by \`npm run soak -- --minutes ${minutes}\`.`,
    '',
    `- requests: ${requests} (${Math.round(requests / (minutes * 60))}/s), failed: ${failures.length}`,
    `- content of every node at the end, read directly: ${broken.length === 0 ? 'identical' : broken.join('; ')}`,
    `- event-loop delay of the gateway: p99 of all ${(samples.at(-1)?.lifeDelayP99Ms ?? NaN).toFixed(1)} ms; p99 of each second: median ${median(delays).toFixed(1)} ms, worst ${Math.max(...delays).toFixed(1)} ms`,
    '',
    '| | second quarter | last quarter | growth |',
    '|---|--:|--:|--:|',
    ...QUANTITIES.map((quantity) => growthRow(quantity, samples)),
    '',
    '| minute | requests | resident MiB | heap MiB | handles | p99 delay ms | PostgreSQL MiB |',
    '|--:|--:|--:|--:|--:|--:|--:|',
    ...minuteRows(samples),
    '',
  ].join('\n');
}

function growthRow({ name, unit, of }: Quantity, samples: readonly SoakSample[]): string {
  const values = samples.map(of);
  const quarter = Math.floor(values.length / 4);
  const early = median(values.slice(quarter, 2 * quarter)).toFixed(0);
  const late = median(values.slice(-quarter)).toFixed(0);
  return `| ${name} | ${early} ${unit} | ${late} ${unit} | ${growthPercent(values).toFixed(1)} % |`;
}

function minuteRows(samples: readonly SoakSample[]): string[] {
  const start = samples[0]?.at ?? 0;
  const minutes = Map.groupBy(samples, ({ at }) => Math.floor((at - start) / 60_000));
  return [...minutes].map(([minute, within]) => {
    const last = within.at(-1) as SoakSample;
    const figure = (of: (sample: SoakSample) => number, digits = 0): string =>
      median(within.map(of)).toFixed(digits);
    const delay = Math.max(...within.map(({ delayP99Ms }) => delayP99Ms)).toFixed(1);
    const [rss, heap, handles, postgres] = QUANTITIES.map(({ of }) => figure(of));
    return `| ${minute} | ${last.requests} | ${rss} | ${heap} | ${handles} | ${delay} | ${postgres} |`;
  });
}
