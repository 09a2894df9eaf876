import { describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { findingsOf, type DoctorFacts, type NodeFacts, type PostgresFacts } from './findings.ts';

const POSTGRES: PostgresFacts = {
  version: 160_004,
  connections: 97,
  connectionsUsed: 10,
  mayCreate: true,
  hasSchema: false,
  isStandby: false,
  fsync: 'on',
  fullPageWrites: 'on',
  synchronousCommit: 'on',
  synchronousStandbys: 'standby',
  databaseBytes: 1,
  clockMs: 0,
};
const node = (id: string, fields: object = {}): NodeFacts => ({
  id,
  url: `http://${id}`,
  version: '1.0.0',
  capabilities: CHROMA_1_0_5,
  clockMs: 0,
  marker: { cluster: 'c', node: id, checkpoint: 7 },
  isBlank: false,
  collections: 3,
  ...fields,
});
const FACTS: DoctorFacts = {
  postgres: POSTGRES,
  nodes: [node('a'), node('b')],
  process: { openFilesMax: 65_536, memoryLimitBytes: null, budgetBytes: 1 },
};

test('nothing is wrong with a good installation', () => {
  const findings = findingsOf(FACTS);
  expect(findings.filter(({ state }) => state !== 'ok')).toEqual([]);
  expect(findings.map(({ text }) => text)).toContain(
    '87 of 97 connections are free: enough for 9 more gateways',
  );
});

describe('every flaw is found, with what to do', () => {
  const postgres = (fields: Partial<PostgresFacts>): Partial<DoctorFacts> => ({
    postgres: { ...POSTGRES, ...fields },
  });
  test.each<[string, string, Partial<DoctorFacts>]>([
    ['problem', 'cannot be used: refused', { postgres: { error: 'refused' } }],
    ['problem', 'release 13.9 is too old', postgres({ version: 130_009 })],
    ['problem', 'is a standby', postgres({ isStandby: true })],
    ['problem', 'may not create the schema', postgres({ mayCreate: false })],
    ['problem', '7 of 97 connections are free', postgres({ connectionsUsed: 90 })],
    ['problem', 'fsync is off', postgres({ fsync: 'off' })],
    ['problem', 'full_page_writes is off', postgres({ fullPageWrites: 'off' })],
    ['problem', 'synchronous_commit is off', postgres({ synchronousCommit: 'off' })],
    ['warning', 'no synchronous standby', postgres({ synchronousStandbys: '' })],
    ['warning', 'its clock is 5000 ms behind', postgres({ clockMs: -5_000 })],
    ['problem', 'http://a: refused', { nodes: [{ id: 'a', url: 'http://a', error: 'refused' }, node('b')] }],
    ['warning', 'its clock is 2000 ms ahead of', { nodes: [node('a', { clockMs: 2_000 }), node('b')] }],
    [
      'problem',
      'the server is node "b"',
      { nodes: [node('a', { marker: { cluster: 'c', node: 'b', checkpoint: 1 } }), node('c')] },
    ],
    ['problem', 'not a member, and holds 3 collections', { nodes: [node('a', { marker: null }), node('b')] }],
    ['ok', 'empty: it can join', { nodes: [node('a', { marker: null, isBlank: true }), node('b')] }],
    ['warning', 'one node', { nodes: [node('a')] }],
    [
      'problem',
      'belong to 2 clusters',
      { nodes: [node('a'), node('b', { marker: { cluster: 'd', node: 'b', checkpoint: 1 } })] },
    ],
    [
      'warning',
      'different releases',
      { nodes: [node('a'), node('b', { capabilities: { ...CHROMA_1_0_5, schema: true } })] },
    ],
    ['warning', '1024 open files', { process: { ...FACTS.process, openFilesMax: 1_024 } }],
    [
      'problem',
      'may take 400 MiB in addition to 300 MiB',
      { process: { openFilesMax: null, memoryLimitBytes: 512 * 2 ** 20, budgetBytes: 400 * 2 ** 20 } },
    ],
  ])('%s: %s', (state, text, facts) => {
    const found = findingsOf({ ...FACTS, ...facts }).find((each) => each.text.includes(text));
    expect(found?.state).toBe(state);
    expect(found?.fix === null).toBe(state === 'ok');
  });
});
