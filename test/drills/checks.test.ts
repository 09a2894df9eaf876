// Each check of a drill, on a history that passes and on histories that are wrong in one way.

import { expect, test } from 'vitest';
import { CHECKS, faultsOf, LIMITS, type Limits } from './checks.ts';
import { fingerprint, type History, outcomeOf, type SentWrite, type StatusSample } from './history.ts';
import { type Ledger, ledgerKey } from './node-files.ts';

const NODES = ['node-1', 'node-2', 'node-3'];

const write = (over: Partial<SentWrite> = {}): SentWrite => ({
  collection: 'loaded',
  operation: 'add',
  ids: ['a', 'b'].map(fingerprint),
  expected: 'applied',
  outcome: 'applied',
  response: '201 {}',
  tookMs: 10,
  ...over,
});
const other = (over: Partial<SentWrite> = {}): SentWrite =>
  write({ collection: 'other', ids: [fingerprint('o')], ...over });

const ledger = (counts: Readonly<Record<string, Readonly<Record<string, number>>>>): Ledger =>
  new Map(
    Object.entries(counts).map(([collection, ids]) => [
      collection,
      new Map(Object.entries(ids).map(([id, count]) => [ledgerKey('add', fingerprint(id)), count])),
    ]),
  );
const GOOD_LEDGER = { loaded: { a: 1, b: 1 }, other: { o: 1 } };

const sample = (over: Partial<StatusSample> = {}): StatusSample => ({
  primary: 'node-1',
  epoch: 1,
  nodes: NODES.map((node) => ({ node, state: 'serving', reason: null, pid: 1 })),
  ...over,
});

function byNode<T>(value: T, exceptions: Readonly<Record<string, T>> = {}): Map<string, T> {
  return new Map(NODES.map((node) => [node, exceptions[node] ?? value]));
}

const content = (stored: string): ReadonlyMap<string, { records: number; stored: string; taken: string }> =>
  new Map([['loaded', { records: 2, stored, taken: 'same' }]]);

const history = (over: Partial<History> = {}): History => ({
  load: [write()],
  loadReads: [],
  otherWrites: [other()],
  otherReads: [{ what: 'get', fault: null, tookMs: 5 }],
  samples: [sample(), sample()],
  ending: {
    head: 7,
    checkpoints: byNode(7),
    states: byNode('serving'),
    suspects: byNode(new Set<string>()),
    unreadable: new Map(),
  },
  ledgers: byNode(ledger(GOOD_LEDGER)),
  contents: byNode(content('same')),
  rssMaxBytes: 300 * 2 ** 20,
  flowMs: 900,
  ...over,
});

const ending = (over: Partial<History['ending']>): Partial<History> => ({
  ending: { ...history().ending, ...over },
});
const ledgersWith = (node: string, counts: Parameters<typeof ledger>[0]): Partial<History> => ({
  ledgers: byNode(ledger(GOOD_LEDGER), { [node]: ledger(counts) }),
});

test('finds nothing in a history without faults', () => {
  expect(faultsOf(history(), LIMITS)).toEqual([]);
});

const ONCE = 'applied exactly once on every node, or refused everywhere';
const PART = 'no entry applied in part';
const withOutcome = (outcome: SentWrite['outcome']): Partial<History> => ({
  load: [write({ outcome, expected: 'either', response: '503' })],
});

const WRONG: readonly (readonly [what: string, check: string, over: Partial<History>])[] = [
  [
    'an entry applied twice on one node',
    ONCE,
    ledgersWith('node-2', { ...GOOD_LEDGER, loaded: { a: 2, b: 1 } }),
  ],
  ['an entry lost on one node', ONCE, ledgersWith('node-3', { other: { o: 1 } })],
  ['an acknowledged small write lost on one node', ONCE, ledgersWith('node-3', { loaded: { a: 1, b: 1 } })],
  [
    'a small write promised as durable and lost everywhere',
    ONCE,
    { otherWrites: [other({ outcome: 'pending' })], ledgers: byNode(ledger({ loaded: { a: 1, b: 1 } })) },
  ],
  ['a refused entry applied', ONCE, { load: [write({ outcome: 'refused', expected: 'refused' })] }],
  [
    'an entry of unknown outcome applied on one node only',
    ONCE,
    {
      ...withOutcome('pending'),
      ledgers: byNode(ledger({ other: { o: 1 } }), { 'node-1': ledger(GOOD_LEDGER) }),
    },
  ],
  [
    'an operation that was never sent',
    ONCE,
    ledgersWith('node-1', { ...GOOD_LEDGER, other: { o: 1, x: 1 } }),
  ],
  [
    'an entry of unknown outcome applied in part',
    PART,
    { ...withOutcome('pending'), ledgers: byNode(ledger({ ...GOOD_LEDGER, loaded: { a: 1 } })) },
  ],
  ['a load that was refused', 'responses are as expected', { load: [write({ outcome: 'refused' })] }],
  ['a load without response', 'responses are as expected', withOutcome('unknown')],
  ['a hostile write that was taken', 'responses are as expected', { load: [write({ expected: 'refused' })] }],
  [
    'a hostile read that was answered',
    'responses are as expected',
    { loadReads: [{ what: 'get', fault: '200', tookMs: 1 }] },
  ],
  ['a failed read', 'no read failed', { otherReads: [{ what: 'get', fault: '503', tookMs: 1 }] }],
  ['no read at all', 'no read failed', { otherReads: [] }],
  [
    'a failed small write',
    'other writes succeeded or are durable',
    { otherWrites: [other(), other({ ids: [fingerprint('p')], outcome: 'refused' })] },
  ],
  ['no small write at all', 'other writes succeeded or are durable', { otherWrites: [] }],
  [
    'a node that went down for a moment',
    'no node went down without cause',
    {
      samples: [
        sample(),
        sample({ nodes: [{ node: 'node-2', state: 'down', reason: 'no response within 2000 ms', pid: 1 }] }),
        sample(),
      ],
    },
  ],
  [
    'a node whose process was replaced',
    'no node went down without cause',
    { samples: [sample(), sample({ nodes: [{ node: 'node-2', state: 'serving', reason: null, pid: 2 }] })] },
  ],
  ['no status at all', 'no node went down without cause', { samples: [] }],
  ['another primary', 'primary and lease stayed', { samples: [sample(), sample({ primary: 'node-2' })] }],
  ['a lost lease', 'primary and lease stayed', { samples: [sample(), sample({ epoch: 2 })] }],
  [
    'a node that stays behind',
    'every node ended at the head, serving',
    ending({ checkpoints: byNode(7, { 'node-2': 6 }) }),
  ],
  [
    'a node that could not be inspected',
    'every node ended at the head, serving',
    ending({ unreadable: new Map([['node-2', 'database is locked']]) }),
  ],
  [
    'a node that does not serve at the end',
    'every node ended at the head, serving',
    ending({ states: byNode('serving', { 'node-2': 'busy' }) }),
  ],
  [
    'another content',
    'every node holds the same',
    { contents: byNode(content('same'), { 'node-2': content('x') }) },
  ],
  [
    'a missing collection',
    'every node holds the same',
    { contents: byNode(content('same'), { 'node-2': new Map() }) },
  ],
  ['no content at all', 'every node holds the same', { contents: byNode(new Map()) }],
  [
    'a suspect shard on a healthy node',
    'every node holds the same',
    ending({ suspects: byNode(new Set<string>(), { 'node-2': new Set(['loaded']) }) }),
  ],
  ['writes that never flow again', 'later writes flow in time', { flowMs: null }],
  ['writes that flow again too late', 'later writes flow in time', { flowMs: 60_001 }],
  ['too much memory', 'gateway memory within its limit', { rssMaxBytes: 601 * 2 ** 20 }],
];

test.each(WRONG)('finds %s', (_what, check, over) => {
  const found = faultsOf(history(over), LIMITS);
  expect(found.filter((fault) => fault.startsWith(`${check}: `))).not.toEqual([]);
});

test('has a wrong history for every check', () => {
  expect(CHECKS.map(({ name }) => name).filter((name) => WRONG.every(([, check]) => check !== name))).toEqual(
    [],
  );
});

const broken: Limits = {
  ...LIMITS,
  broken: new Map([['node-1', new Set(['loaded'])]]),
};
const suspect = ending({ suspects: byNode(new Set<string>(), { 'node-1': new Set(['loaded']) }) });

test('allows a broken collection on its node to lack or repeat a call within the attempts', () => {
  const attempts = { ...GOOD_LEDGER, loaded: { a: 5, b: 5 } };
  const contents = byNode(content('same'), { 'node-1': content('x') });
  expect(faultsOf(history({ ...suspect, ...ledgersWith('node-1', attempts), contents }), broken)).toEqual([]);
  expect(faultsOf(history({ ...suspect, ...ledgersWith('node-1', { other: { o: 1 } }) }), broken)).toEqual(
    [],
  );
});

test.each([
  [
    'more attempts than allowed',
    { ...suspect, ...ledgersWith('node-1', { ...GOOD_LEDGER, loaded: { a: 6, b: 6 } }) },
  ],
  ['a broken shard that is still used', {}],
  [
    'repeated calls on a healthy node',
    { ...suspect, ...ledgersWith('node-2', { ...GOOD_LEDGER, loaded: { a: 2, b: 2 } }) },
  ],
])('finds %s beside a broken collection', (_what, over) => {
  expect(faultsOf(history(over), broken)).not.toEqual([]);
});

test.each([
  [201, '{}', 'applied'],
  [503, 'The write is durable at LSN 12; outcome pending', 'pending'],
  [503, 'no node serves', 'refused'],
  [500, 'durable at LSN 12', 'refused'],
  [0, 'ECONNRESET', 'unknown'],
])('reads response %i %s as %s', (status, text, outcome) => {
  expect(outcomeOf(status, text)).toBe(outcome);
});
