// The result of drills as tables: what was checked, and the largest values measured.

import { CHECKS, measured } from './checks.ts';
import type { DrillResult } from './drill.ts';

export const isGood = ({ findings }: DrillResult): boolean =>
  findings.every(({ faults }) => faults.length === 0);

/** One drill: each check with its faults, then what was measured. */
export function drillReport(result: DrillResult): string {
  const { scenario, findings, history } = result;
  const lines = findings.flatMap(({ check, faults }) =>
    faults.length === 0
      ? [`  ok    ${check}`]
      : [`  FAULT ${check}`, ...faults.map((fault) => `          ${fault.slice(0, 600)}`)],
  );
  return [`${scenario.name}: ${scenario.about}`, ...lines, `  ${measured(history)}`].join('\n');
}

/** All drills: one row each, one column for each check. */
export function summary(results: readonly DrillResult[]): string {
  const legend = CHECKS.map(({ name }, index) => `  ${index + 1} ${name}`);
  const width = Math.max(...results.map(({ scenario }) => scenario.name.length));
  const rows = results.map(({ scenario, findings, history }) => {
    const marks = findings.map(({ faults }) => (faults.length === 0 ? 'ok' : 'XX').padEnd(3));
    return `${scenario.name.padEnd(width)}  ${marks.join('')} ${measured(history)}`;
  });
  const head = `${''.padEnd(width)}  ${CHECKS.map((_, index) => String(index + 1).padEnd(3)).join('')}`;
  return ['Checks:', ...legend, '', head, ...rows].join('\n');
}
