// The primary is moved while clients write and read: no request fails, and every node ends with the same content.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeCommand } from '../../src/cli/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { TestCluster } from '../support/cluster.ts';
import { TestCommand } from '../support/operation-context.ts';
import { underLoad } from '../support/load.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 3 });
});
afterAll(() => cluster?.stop());

/** What `polychrome node …` prints; rejects with its error. */
async function node(...words: string[]): Promise<string> {
  const command = new TestCommand({ clock: systemClock });
  await nodeCommand(command).parseAsync([...words, '--url', cluster.url], { from: 'user' });
  return command.output;
}

describe('promotion', () => {
  test('moves the primary from node to node under load, without a failed request', async () => {
    const result = await underLoad(cluster, 'promoted', async ({ more }) => {
      for (const id of ['node-2', 'node-3', 'node-1', 'node-2']) {
        const before = await cluster.primary();
        expect(await node('promote', id)).toBe(`Node ${id} is the primary; before it was ${before}.\n`);
        expect(await cluster.primary()).toBe(id);
        await more(20);
      }
    });
    expect(result).toEqual({ faults: [], failedWrites: 0, failedReads: [] });
  });

  test('is refused for a node that does not serve', async () => {
    await cluster.local.stopNode('node-3');
    await expect(node('promote', 'node-3')).rejects.toThrow(/only a serving node can become primary/);
    await expect(node('promote', 'node-9')).rejects.toThrow('There is no node "node-9"');
    await cluster.local.startNode('node-3');
    await cluster.allServe();
  });
});
