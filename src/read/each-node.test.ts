import { expect, test } from 'vitest';
import { FakeClusterView } from '../../test/support/fake-cluster-view.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Collection } from '../catalog/catalog.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import type { ReadRequest } from '../chroma/client/node-request.ts';
import { readFromEachNode } from './each-node.ts';
import type { ReadCandidate } from './node-selection.ts';

const collection: Collection = {
  id: 'c',
  tenant: 't',
  database: 'd',
  name: 'docs',
  state: 'ready',
  createdLSN: 1,
  shards: [{ id: 's', dimension: 2 }],
};

function setUp(states: Record<string, string>) {
  const view = new FakeClusterView();
  view.primaryNode = 'a';
  const asked: string[] = [];
  const failing = new Map<string, NodeError>();
  const nodes = Object.entries(states).map(
    ([id, state]) =>
      ({
        member: { id, state },
        client: {
          read: async ({ path }: ReadRequest) => {
            asked.push(`${id} ${path}`);
            const error = failing.get(id);
            if (error !== undefined) throw error;
            return { status: 200, headers: {}, body: Buffer.from(`{"ids":["${id}"]}`) };
          },
        },
      }) as unknown as ReadCandidate,
  );
  const missing = new Set<string>();
  const read = () =>
    readFromEachNode(
      {
        nodes: () => nodes,
        view,
        physicalId: (node) => (missing.has(node) ? null : `on-${node}`),
        clock: new ManualClock(),
      },
      { collection, action: 'get', body: Buffer.from('{}'), signal: new AbortController().signal },
    );
  return { view, asked, failing, missing, read };
}

test('every node is asked by its own id, a replica first', async () => {
  const { view, asked, read } = setUp({ a: 'serving', b: 'serving', c: 'busy' });
  view.apply('b', 7);
  const results = await read();
  expect(results.map(({ node, isPrimary, response }) => [node, isPrimary, response?.status])).toEqual([
    ['a', true, 200],
    ['b', false, 200],
    ['c', false, 200],
  ]);
  expect(results[1]?.applied).toBe(7);
  expect(asked[0]).toBe('b /api/v2/tenants/t/databases/d/collections/on-b/get');
  expect(asked).toHaveLength(3);
});

test('a request that one node does not survive reaches no other node', async () => {
  const { asked, failing, read } = setUp({ a: 'serving', b: 'serving', c: 'serving' });
  failing.set('b', new NodeError('unanswered', 'the connection ended', { sent: true }));
  const results = await read();
  expect(asked).toHaveLength(1);
  expect(results.map(({ reason }) => reason)).toEqual([
    'not asked, because b did not respond',
    'the connection ended',
    'not asked, because b did not respond',
  ]);
});

test('nodes that do not serve, and suspect or missing copies, are not asked', async () => {
  const { view, asked, missing, read } = setUp({ a: 'serving', b: 'down', c: 'serving', d: 'serving' });
  view.suspect('c', 's');
  missing.add('d');
  const results = await read();
  expect(results.map(({ reason }) => reason)).toEqual([
    null,
    'not asked, because it is down',
    'not asked, because its copy is suspect',
    'it has no copy yet',
  ]);
  expect(asked).toHaveLength(1);
});
