import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { pauses } from './failover.ts';
import { LagSamples } from './lag.ts';
import type { CallResult, Outcome } from './load.ts';
import { jsonReport, markdownReport, type ReportContext, writeReport } from './report.ts';
import { Results } from './results.ts';
import { QUICK } from './settings.ts';

const context: ReportContext = {
  machine: { lines: ['2 × Processor', 'Chroma 1.0.5'], warning: null },
  settings: QUICK,
  titles: new Map([['query_c64', '64 clients']]),
  date: new Date('2026-01-02T03:04:05Z'),
};

function outcome(operations: number, latencyMs: number, failures: [string, number][] = []): Outcome {
  return {
    latenciesMs: Float64Array.of(latencyMs),
    operations,
    elapsedMs: 1_000,
    failures: new Map(failures),
  };
}

function sampleResults(): Results {
  const results = new Results();
  for (const operations of [100, 300, 200]) results.addRound('query_c64', 'direct', outcome(operations, 5));
  results.addRound('query_c64', 'ceiling', outcome(1_000, 9));
  results.addRound('query_c64', 'polychrome1', outcome(800, 2, [['HTTP 503', 3]]));
  results.addSweepPoint('query_c64', 'direct', { rate: 50, qps: 50, p50Ms: 1, p99Ms: 4, failed: 0 });
  return results;
}

it('writes medians by workload and target to JSON', () => {
  const { workloads } = JSON.parse(jsonReport(sampleResults(), context)) as {
    workloads: Record<string, Record<string, Record<string, number>>>;
  };
  expect(workloads['query_c64']?.['direct']).toMatchObject({
    qps: 200,
    p50_ms: 5,
    p99_ms: 5,
    qps_min: 100,
    qps_max: 300,
  });
  expect(workloads['query_c64']?.['polychrome1']).toMatchObject({ qps: 800, failed: 3 });
});

it('compares each target with bare server and ceiling and shows failures', () => {
  const text = markdownReport(sampleResults(), context, []);
  expect(text).toContain(
    '| query_c64 | polychrome1 | 800 | 800–800 | 2.00 | 2.00 | 4.00 | 0.80 | 3 × HTTP 503 |',
  );
  expect(text).toContain('2 × Processor');
});

it('shows the reason when a target could not be measured', () => {
  const results = sampleResults();
  results.addFailure('query_c64', 'haproxy', 'Error: query failed:\nHTTP 500');
  expect(markdownReport(results, context, [])).toMatch(
    /\| query_c64 \| haproxy \| – .* Error: query failed: HTTP 500 \|/,
  );
  expect(results.isIncomplete).toBe(true);
});

it('marks the results when the machine was busy', () => {
  const machine = { lines: [], warning: 'The machine was not idle.' };
  expect(markdownReport(sampleResults(), { ...context, machine }, [])).toContain(
    'Do not quote these results',
  );
});

it('writes tables, JSON and charts', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bench-report-'));
  try {
    await writeReport(dir, sampleResults(), context);
    expect(readdirSync(dir).toSorted()).toEqual([
      'latency-query_c64.svg',
      'results.json',
      'results.md',
      'throughput.svg',
    ]);
    const chart = readFileSync(join(dir, 'throughput.svg'), 'utf8');
    expect(chart).toContain('4.00×');
    expect(chart).not.toContain('NaN');
    expect(readFileSync(join(dir, 'results.md'), 'utf8')).toContain('![throughput.svg](throughput.svg)');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

it('measures lag until every node has applied the LSN of a write', () => {
  const samples = new LagSamples();
  const write = { intendedAt: 0, succeeded: true };
  samples.acknowledged({ ...write, lsn: 5, doneAt: 100 });
  samples.acknowledged({ ...write, lsn: 6, doneAt: 110 });
  samples.acknowledged({ ...write, lsn: null, doneAt: 110, succeeded: false });
  samples.applied(5, 130);
  expect(samples.samplesMs).toEqual([30]);
  expect(samples.pending).toBe(1);
  samples.applied(9, 150);
  expect(samples.samplesMs).toEqual([30, 40]);
});

function call(intendedAt: number, doneAt: number, succeeded: boolean): CallResult {
  return { intendedAt, doneAt, succeeded, lsn: null };
}

it('does not end a pause at a failed call', () => {
  const calls = [call(0, 10, true), call(100, 110, false), call(200, 900, true), call(300, 910, true)];
  expect(pauses(calls, 0, 1_000)).toEqual({ pauseMs: 890, slowestMs: 700 });
});
