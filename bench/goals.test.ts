import { expect, it } from 'vitest';
import { evaluateGoals } from './goals.ts';
import type { Outcome } from './load.ts';
import { besideBulkTable } from './report-tables.ts';
import { type BesideBulk, type LatencySummary, Results } from './results.ts';

function bulkOutcome(operations: number): Outcome {
  return { latenciesMs: Float64Array.of(1_000), operations, elapsedMs: 1_000, failures: new Map() };
}

function latency(p99Ms: number, maxMs: number, failed = 0): LatencySummary {
  return { p50Ms: p99Ms / 2, p99Ms, maxMs, failed };
}

function besideBulk(other: LatencySummary, loaded: LatencySummary): BesideBulk {
  const idle = latency(10, 12);
  return {
    partMs: 900,
    recordsPerSecond: 1_000,
    failedCalls: 0,
    streams: [
      { collection: 'other', operation: 'get', idle, underLoad: other },
      { collection: 'loaded', operation: 'query', idle, underLoad: loaded },
    ],
  };
}

function isMetByName(results: Results): [string, boolean][] {
  return evaluateGoals(results).map(({ name, isMet }) => [name, isMet]);
}

it.each([
  [900, true],
  [899, false],
])('compares bulk throughput of %d with 0.9 times a bare server', (operations, isMet) => {
  const results = new Results();
  results.addRound('bulk_docs', 'direct', bulkOutcome(1_000));
  results.addRound('bulk_docs', 'polychrome1', bulkOutcome(operations));
  expect(isMetByName(results)).toEqual([['bulk_docs: throughput relative to direct', isMet]]);
});

it('has no goal when a target of it was not measured', () => {
  const results = new Results();
  results.addRound('bulk_docs', 'polychrome1', bulkOutcome(1_000));
  results.addBesideBulk('bulk_docs', 'polychrome1', besideBulk(latency(30, 40), latency(800, 900)));
  expect(evaluateGoals(results)).toEqual([]);
});

it.each([
  ['meets', latency(30, 5_000), latency(800, 900), true],
  ['misses', latency(31, 31), latency(800, 901), false],
])('%s the goals of reads beside bulk loads at their limits', (_verb, other, loaded, isMet) => {
  const results = new Results();
  results.addBesideBulk('bulk_docs', 'polychrome3', besideBulk(other, loaded));
  expect(isMetByName(results)).toEqual([
    ['bulk_docs: p99 of get in another collection relative to idle', isMet],
    ['bulk_docs: slowest query in the loaded collection relative to one part of a split call', isMet],
    ['bulk_docs: failed reads', true],
  ]);
});

it('misses a goal when every read failed', () => {
  const results = new Results();
  const nothing = latency(Number.NaN, Number.NaN, 40);
  results.addBesideBulk('bulk_docs', 'polychrome3', besideBulk(nothing, nothing));
  expect(evaluateGoals(results).map(({ isMet }) => isMet)).toEqual([false, false, false]);
});

it('shows the reads of all targets side by side as ratios', () => {
  const results = new Results();
  results.addBesideBulk('bulk_docs', 'direct', besideBulk(latency(1_000, 2_000), latency(1_000, 2_000)));
  results.addBesideBulk('bulk_docs', 'polychrome3', besideBulk(latency(20, 30), latency(800, 900)));
  const rows = besideBulkTable(results.besideBulk);
  expect(rows).toContain(
    '| other | get | direct | 5.00 | 10 | 500 | 1000 | 2000 | 100.00 | 1.00 | 2.22 | 0 |',
  );
  expect(rows).toContain('| other | get | polychrome3 | 5.00 | 10 | 10 | 20 | 30 | 2.00 | 0.02 | 0.03 | 0 |');
});
