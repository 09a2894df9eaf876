// Every case but the first is a cluster that broke a promise: a verdict that cannot fail is worth nothing.
import { expect, test } from 'vitest';
import { digestOf, type NodeContent, recordDigest, recordKey, type StoredRecord } from './node-content.ts';
import { report } from './report.ts';
import { type Evidence, judge } from './verdict.ts';

const record = (id: string, changes: Partial<StoredRecord> = {}): StoredRecord => ({
  id,
  document: `text ${id}`,
  metadata: { path: 'a.md', position: 1 },
  embedding: [0.5, 0.5],
  ...changes,
});

function holding(...records: StoredRecord[]): NodeContent {
  const entries = records.map((item) => [recordKey('demo', item.id), recordDigest(item)] as const);
  return { records: new Map(entries), digest: digestOf(entries) };
}

const [a, b] = [record('a'), record('b')];

function judged(contents: (NodeContent | Error)[], changes: Partial<Evidence> = {}) {
  return judge({
    documents: 1,
    chunks: 2,
    sent: 9,
    failed: 0,
    longestReadPauseMs: 1,
    longestWritePauseMs: 1,
    acknowledged: new Map([['demo', [a, b]]]),
    nodes: contents.map((content, i) => ({ id: `n${i}`, role: 'replica', content })),
    notLevel: null,
    ...changes,
  });
}

test('a cluster that kept its promises passes, also with records whose write was never acknowledged', () => {
  expect(judged([holding(a, b), holding(b, a)])).toMatchObject({
    acknowledged: 2,
    lost: 0,
    agree: true,
    faults: [],
  });
  const c = record('c');
  expect(judged([holding(a, b, c), holding(a, b, c)]).faults).toEqual([]);
});

test('an acknowledged record that no node holds is lost', () => {
  const verdict = judged([holding(a), holding(a)]);
  expect(verdict).toMatchObject({ lost: 1, agree: true });
  expect(verdict.faults).toContain('1 acknowledged records are on no node.');
});

test.each<[string, Partial<StoredRecord>]>([
  ['document', { document: 'other' }],
  ['metadata', { metadata: { path: 'a.md', position: 2 } }],
  ['embedding', { embedding: [0.5, 0.50000006] }],
])('an acknowledged record held by all with another %s is lost', (_what, changes) => {
  const node = holding(a, record('b', changes));
  expect(judged([node, node])).toMatchObject({ lost: 1, agree: true });
});

test('a record under the same id in another collection does not stand in for a lost one', () => {
  const acknowledged = new Map([['elsewhere', [a]]]);
  expect(judged([holding(a), holding(a)], { acknowledged }).lost).toBe(1);
});

test('one node that differs is not lost data, but fails the run and is named', () => {
  const verdict = judged([holding(a, b), holding(a), holding(a, b)]);
  expect(verdict).toMatchObject({ lost: 0, agree: false });
  expect(verdict.nodes.map(({ missing }) => missing)).toEqual([0, 1, 0]);
  expect(verdict.faults).toEqual([
    'Node n1 lacks 1 acknowledged records.',
    'The nodes do not all hold the same content.',
  ]);
});

test('one node that holds a record too many fails the run', () => {
  const verdict = judged([holding(a, b), holding(a, b, record('c'))]);
  expect(verdict.faults).toEqual(['The nodes do not all hold the same content.']);
});

test.each<[string, (NodeContent | Error)[], Partial<Evidence>]>([
  ['a failed request', [holding(a, b), holding(a, b)], { failed: 1 }],
  ['a node that could not be read', [holding(a, b), new Error('refused')], {}],
  ['no node that could be read', [new Error('refused'), new Error('refused')], {}],
  ['one node alone', [holding(a, b)], {}],
  ['no node', [], {}],
  ['nothing acknowledged', [holding(), holding()], { acknowledged: new Map() }],
  ['nodes that never became level', [holding(a, b), holding(a, b)], { notLevel: 'Not level.' }],
])('%s fails the run', (_what, contents, changes) => {
  expect(judged(contents, changes).faults).not.toEqual([]);
});

test('the report shows the numbers, the nodes and the faults', () => {
  const evidence: Evidence = {
    documents: 175,
    chunks: 3654,
    sent: 4000,
    failed: 2,
    longestReadPauseMs: 12.4,
    longestWritePauseMs: 345.6,
    acknowledged: new Map([['demo', [a, b]]]),
    nodes: [
      { id: 'n0', role: 'primary', content: holding(a, b) },
      { id: 'n1', role: 'replica', content: new Error('refused') },
    ],
    notLevel: null,
  };
  const text = report(evidence, judge(evidence), new Map([['add: no answer', 2]]));
  for (const line of [
    /^chunks +3,654$/m,
    /^lost +0$/m,
    /^failed requests +2$/m,
    /^longest pause, writes +346 ms$/m,
    /^n0 +primary +2 +0 +[0-9a-f]{16}$/m,
    /^n1 +replica +0 +2 +unreadable$/m,
    /^2 × add: no answer$/m,
    /^FAILED: 2 requests failed\.$/m,
  ]) {
    expect(text).toMatch(line);
  }
  const passed = { ...evidence, failed: 0, nodes: [evidence.nodes[0]!, evidence.nodes[0]!] };
  expect(report(passed, judge(passed), new Map())).toMatch(/Nothing lost, nothing failed/);
});
