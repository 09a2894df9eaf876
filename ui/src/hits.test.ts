import { expect, test } from 'vitest';
import { comparisonText, differingRanks, hitsOf, metadataText, recordsOf, referenceOf } from './hits.ts';

const node = (name: string, ids: readonly string[] | null, isPrimary = false) => ({
  node: name,
  isPrimary,
  applied: 1,
  reason: ids === null ? 'not asked, because it is down' : null,
  status: ids === null ? null : 200,
  ms: 1,
  body: ids === null ? null : { ids: [ids], distances: [ids.map((_id, at) => at)] },
});

test('records are read from responses to queries and to gets', () => {
  expect(recordsOf({ ids: [['a']], distances: [[0.5]], documents: [['d']], metadatas: [[null]] })).toEqual([
    { id: 'a', distance: 0.5, document: 'd', metadata: null },
  ]);
  expect(recordsOf({ ids: ['a', 'b'], documents: ['d', null], metadatas: null })).toMatchObject([
    { id: 'a', distance: null, document: 'd' },
    { id: 'b', document: null },
  ]);
  expect(recordsOf({ ids: [[]] })).toEqual([]);
  expect(recordsOf({ ids: [] })).toEqual([]);
});

test('nodes that return the same are said to', () => {
  const nodes = hitsOf({ nodes: [node('a', ['x', 'y']), node('b', ['x', 'y'], true)] });
  expect(comparisonText(nodes)).toBe('All 2 nodes return the same 2 records in the same order.');
});

test('a node that differs from the primary is named, and its ranks are marked', () => {
  const nodes = hitsOf({
    nodes: [node('a', ['y', 'x', 'z']), node('b', ['x', 'y', 'z'], true), node('c', null)],
  });
  expect(comparisonText(nodes)).toBe(
    'a returns other records or another order. 1 of 3 nodes returned nothing.',
  );
  expect(referenceOf(nodes)?.map(({ id }) => id)).toEqual(['x', 'y', 'z']);
  expect([...differingRanks(nodes[0]!.hits!, nodes[1]!.hits!)]).toEqual([0, 1]);
  expect([...differingRanks([], nodes[1]!.hits!)]).toEqual([0, 1, 2]);
});

test('a node at another position in the log is no reason to worry', () => {
  const late = { ...node('a', ['y']), applied: 0 };
  expect(comparisonText(hitsOf({ nodes: [late, node('b', ['x'], true)] }))).toBe(
    'a returns other records or another order. Writes between their LSNs may be the reason: run it again.',
  );
});

test('metadata is shown by name', () => {
  expect(metadataText({ b: 1, a: ['x'] })).toBe('{"a":["x"],"b":1}');
  expect(metadataText(null)).toBe('');
});

test("a server's refusal is shown with its status and message", () => {
  const refused = {
    ...node('a', ['x']),
    status: 400,
    body: '{"error":"x","message":"dimension of 2 expected"}',
  };
  const nodes = hitsOf({ nodes: [refused] });
  expect(nodes[0]).toMatchObject({ hits: null, reason: '400: dimension of 2 expected' });
  expect(comparisonText(nodes)).toBe('No node returned records.');
});
