import { describe, expect, test } from 'vitest';
import { ALERT_KINDS } from '../../alerts/alert-kinds.ts';
import type { NodeState } from '../../nodes/node-state.ts';
import {
  summaryOf,
  type HeldCondition,
  type Summary,
  type SummaryInput,
  type SummaryNode,
} from './summary.ts';

const NOW = 1_700_000_000_000;
const node = (id: string, state: NodeState = 'serving', lagEntries = 0): SummaryNode => ({
  id,
  state,
  reason: null,
  sinceMs: NOW,
  lagEntries,
});
const down: HeldCondition = {
  kind: 'node_down',
  key: 'node_down:b',
  detail: 'b: connection refused',
  sinceMs: NOW - 5_000,
};

function summary(parts: Partial<SummaryInput> = {}): Summary {
  return summaryOf({
    nodes: [node('a'), node('b'), node('c')],
    conditions: [],
    serving: { reads: null, writes: null },
    records: 1_204_331,
    quarantined: 0,
    rebuilding: null,
    ...parts,
  });
}

describe('when all is well, the sentence says', () => {
  test.each<[string, Partial<SummaryInput>]>([
    ['All 3 nodes serve the same 1,204,331 records; nothing to do.', {}],
    ['All 3 nodes serve the same 1 record; nothing to do.', { records: 1 }],
    ['All 3 nodes serve the same records; nothing to do.', { records: null }],
    ['All 3 nodes serve; no records are stored yet.', { records: 0 }],
    ['a serves 12 records; nothing to do.', { nodes: [node('a', 'busy')], records: 12 }],
    [
      'All 2 nodes serve all 12 records; new writes are on their way to every node. Nothing to do.',
      { nodes: [node('a'), node('b', 'serving', 3)], records: 12 },
    ],
    ['There is no node yet: add one with "polychrome node add".', { nodes: [] }],
  ])('%s', (text, parts) => {
    expect(summary(parts)).toEqual({ level: 'ok', text, findings: [] });
  });
});

test('a node that is down is named with what the others do, since when, the effect and what to do', () => {
  const nodes = [node('a'), node('b', 'down', 12), node('c')];
  expect(summary({ nodes, conditions: [down] })).toEqual({
    level: 'critical',
    text: 'b is down; the other 2 nodes serve all 1,204,331 records.',
    findings: [
      {
        key: 'node_down:b',
        severity: 'critical',
        title: 'Node down',
        detail: 'b: connection refused',
        sinceMs: NOW - 5_000,
        effect: ALERT_KINDS.node_down.effect,
        action: ALERT_KINDS.node_down.action,
      },
    ],
  });
});

test('the last node that serves is named', () => {
  const nodes = [node('a'), node('b', 'down')];
  expect(summary({ nodes, conditions: [down] }).text).toBe('b is down; a serves all 1,204,331 records.');
  const gone = { ...down, kind: 'node_out', key: 'node_out:b', detail: 'b is fenced' } as const;
  expect(summary({ nodes: [node('b', 'fenced')], conditions: [gone] }).text).toBe(
    'Node out of use: b is fenced.',
  );
});

test('a drained node is a notice that says how it ends', () => {
  const { level, text, findings } = summary({ nodes: [node('a'), node('b', 'drained')] });
  expect([level, text]).toEqual(['notice', 'b is drained; a serves all 1,204,331 records.']);
  expect(findings[0]?.action).toBe('Undrain b when the maintenance is over.');
});

test('a node that catches up needs nothing', () => {
  const { level, findings } = summary({ nodes: [node('a'), node('b', 'catching_up', 40)] });
  expect([level, findings[0]?.detail]).toEqual(['notice', 'b is 40 entries behind']);
});

test('the most severe finding comes first, and the others are counted', () => {
  const lag: HeldCondition = { kind: 'lag', key: 'lag:c', detail: 'c is 90 s behind the head', sinceMs: NOW };
  const { text, findings, level } = summary({
    nodes: [node('a'), node('b', 'down'), node('c', 'serving', 900)],
    conditions: [lag, down],
    quarantined: 2,
  });
  expect(level).toBe('critical');
  expect(text).toBe('b is down; the other 2 nodes serve all 1,204,331 records. 2 more findings below.');
  expect(findings.map(({ key }) => key)).toEqual(['node_down:b', 'lag:c', 'quarantine']);
  expect(findings[2]?.detail).toBe('2 entries of the log wait for a decision');
});

test('refused writes are critical even while every node serves', () => {
  const serving = { reads: null, writes: 'the lease is not held' };
  expect(summary({ serving })).toMatchObject({
    level: 'critical',
    text: 'This gateway refuses writes: the lease is not held.',
  });
  const conditions: HeldCondition[] = [
    { kind: 'postgresql_unreachable', key: 'postgresql_unreachable:g', detail: 'no response', sinceMs: NOW },
  ];
  expect(summary({ serving, conditions }).findings.map(({ key }) => key)).toEqual([
    'postgresql_unreachable:g',
  ]);
});

test('what has happened and is over is no finding', () => {
  const conditions: HeldCondition[] = [{ kind: 'failover', key: 'failover', detail: 'a to b', sinceMs: NOW }];
  expect(summary({ conditions }).level).toBe('ok');
});
