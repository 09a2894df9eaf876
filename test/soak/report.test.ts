import { expect, test } from 'vitest';
import { growthPercent, soakReport } from './report.ts';
import type { SoakSample } from './soak.ts';

const sample = (second: number, rssMiB: number): SoakSample => ({
  at: second * 1_000,
  rssBytes: rssMiB * 2 ** 20,
  heapUsedBytes: 50 * 2 ** 20,
  externalBytes: 0,
  handles: 20,
  delayP99Ms: second % 7,
  delayMaxMs: 9,
  lifeDelayP99Ms: 8.25,
  postgresBytes: 100 * 2 ** 20,
  requests: second * 10,
});

test('reports growth from the second quarter to the last, without the warm-up', () => {
  expect(growthPercent([1, 1, 100, 100, 100, 100, 100, 100])).toBe(0);
  expect(growthPercent([100, 100, 100, 100, 120, 140, 200, 200])).toBe(100);
});

test('reports growing memory and failures', () => {
  const samples = Array.from({ length: 120 }, (_, n) => sample(n, 100 + n));
  const result = {
    samples,
    requests: 1_200,
    failures: ['500 x'],
    broken: ['the nodes differ'],
    retention: '1m',
  };
  const text = soakReport(result, { minutes: 2, machine: '2 cores', date: '2026-01-01' });
  expect(text).toMatch(/\| resident memory \| 145 MiB \| 205 MiB \| 41\.5 % \|/);
  expect(text).toContain('failed: 1');
  expect(text).toContain('p99 of all 8.3 ms');
  expect(text).toContain('the nodes differ');
});
