// The alert rules for Prometheus, checked by promtool where it is installed (Debian: prometheus), and their explanations.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const FOLDER = fileURLToPath(new URL('../deploy/observability/', import.meta.url));
const read = (name: string): string => readFileSync(FOLDER + name, 'utf8');
const promtool = (...words: string[]): { status: number | null; output: string } => {
  const { status, stdout, stderr } = spawnSync(process.env['PROMTOOL'] ?? 'promtool', words, {
    cwd: FOLDER,
    encoding: 'utf8',
  });
  return { status, output: `${stdout}${stderr}` };
};
const hasPromtool = promtool('--version').status === 0;

// A tool that is missing in CI fails there.
test.skipIf(!hasPromtool && process.env['CI'] !== 'true')(
  'promtool accepts the rules, their tests and the scrape configuration',
  () => {
    for (const words of [
      ['check', 'rules', 'alerts.rules.yml'],
      ['test', 'rules', 'alerts.test.yml'],
      ['check', 'config', 'prometheus.yml'],
      ['check', 'config', '--syntax-only', '../compose/prometheus.yml'],
    ])
      expect(promtool(...words)).toMatchObject({ status: 0 });
  },
);

test('every rule has a severity, a summary and what to do', () => {
  const rules = read('alerts.rules.yml').split('- alert: ').slice(1);
  expect(rules.length).toBeGreaterThan(10);
  for (const rule of rules)
    for (const part of ['severity: ', 'summary: ', 'description: ', 'expr: ']) expect(rule).toContain(part);
});

test('every panel of the dashboard has a title, a unit and queries', () => {
  const { panels } = JSON.parse(read('grafana-dashboard.json')) as {
    panels: { title: string; fieldConfig: { defaults: { unit: string } }; targets: { expr: string }[] }[];
  };
  for (const { title, fieldConfig, targets } of panels) {
    expect([title, fieldConfig.defaults.unit].every((text) => text.length > 0)).toBe(true);
    expect(targets.every(({ expr }) => expr.includes('_'))).toBe(true);
  }
});
