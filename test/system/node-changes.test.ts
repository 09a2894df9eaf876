// Nodes are promoted, drained, removed and added while clients write and read: no request fails, and every node ends with
// the same content.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeCommand } from '../../src/cli/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { TestCluster } from '../support/cluster.ts';
import { TestCommand } from '../support/operation-context.ts';
import { underLoad } from '../support/load.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;

beforeAll(async () => {
  // As long as in production: on a busy machine a shorter lease is lost, and requests fail for that reason.
  cluster = await TestCluster.start({ nodes: 3, settings: { LEASE_MS: '5000' } });
});
afterAll(() => cluster?.stop());

/** What `polychrome node …` prints; rejects with its error. */
async function node(...words: string[]): Promise<string> {
  const command = new TestCommand({ clock: systemClock });
  await nodeCommand(command).parseAsync([...words, '--url', cluster.url], { from: 'user' });
  return command.output;
}

/** Puts an empty server in the place of a node. */
async function restartBlank(id: string): Promise<void> {
  await cluster.local.stopNode(id);
  await rm(cluster.local.nodes.find((each) => each.id === id)!.dataDir, { recursive: true });
  await cluster.local.startNode(id);
}

const url = (id: string): string => cluster.local.nodes.find((each) => each.id === id)!.url;

/** Writes records one after the other while `task` runs; returns the statuses of all responses. */
async function whileWriting(name: string, task: () => Promise<void>): Promise<Set<number>> {
  const collection = await cluster.api.create(name);
  const statuses = new Set<number>();
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver || n < 20; n++) {
      const records = { ids: [`${n}`], embeddings: [[n, 1]], documents: [`${name} ${n}`] };
      statuses.add((await cluster.api.records(collection, n % 3 === 2 ? 'upsert' : 'add', records)).status);
    }
  })();
  try {
    await task();
  } finally {
    isOver = true;
    await writing;
  }
  return statuses;
}

const failed = (statuses: ReadonlySet<number>): number[] => [...statuses].filter((status) => status >= 300);

/** Every node serves, and holds the same content as the others. */
async function expectEqualNodes(): Promise<void> {
  await cluster.allServe();
  const contents = new Set((await cluster.contents()).values());
  expect(contents.size).toBe(1);
  expect([...contents][0]).toContain('rejoining 0');
}

describe('a node', () => {
  test('is removed, stays removed when the gateway restarts, and joins again blank, while clients write', async () => {
    const statuses = await whileWriting('rejoined', async () => {
      expect(await node('remove', 'node-3')).toContain('Node node-3 is removed');
      expect((await cluster.status()).nodes.map(({ id }) => id)).toEqual(['node-1', 'node-2']);
      await expect(node('add', 'node-3', url('node-3'))).rejects.toThrow('needs a server with an empty data');
    });
    expect(failed(statuses)).toEqual([]);

    await cluster.stopGateway();
    await cluster.startGateway();
    const { nodes, warnings } = await cluster.status();
    expect(nodes.map(({ id }) => id)).toEqual(['node-1', 'node-2']);
    expect(warnings).toEqual([expect.stringContaining('names node "node-3", which was removed')]);

    await restartBlank('node-3');
    const during = await whileWriting('rejoining', async () => {
      expect(await node('add', 'node-3', url('node-3'))).toBe('Node node-3 serves.\n');
    });
    expect(failed(during)).toEqual([]);
    await expectEqualNodes();
  });

  test('that comes back blank is filled from the log without a person', async () => {
    const id = (await cluster.primary()) === 'node-2' ? 'node-1' : 'node-2';
    await restartBlank(id);
    await expectEqualNodes();
  });

  test('that moved is found at the address that NODES names, and not named any more it is kept', async () => {
    const id = 'node-1';
    const proxy = await TcpProxy.start(url(id));
    await cluster.stopGateway();
    const others = ['node-2', 'node-3'].map((each) => `${each}=${url(each)}`);
    const named = [`${id}=${proxy.url}`, ...others].join(',');
    await cluster.startGateway({ NODES: named });
    // It responds at both addresses: it stays where it is.
    await until(async () => (await cluster.status()).warnings.length === 1, 'the difference is reported');
    expect((await cluster.status()).nodes.find((each) => each.id === id)?.url).toBe(url(id));
    await cluster.stopGateway();
    await cluster.startGateway({ NODES: others.join(',') });
    expect((await cluster.status()).warnings).toEqual([
      expect.stringContaining('does not name node "node-1"'),
    ]);
    await cluster.allServe();
    await proxy.stop();
  });
});

describe('promotion', () => {
  test('moves the primary from node to node under load, without a failed request', async () => {
    const result = await underLoad(cluster, 'promoted', async ({ more }) => {
      for (let moves = 0; moves < 4; moves++) {
        const before = await cluster.primary();
        const others = ['node-1', 'node-2', 'node-3'].filter((each) => each !== before);
        const id = others[moves % 2]!;
        expect(await node('promote', id)).toBe(`Node ${id} is the primary; before it was ${before}.\n`);
        expect(await cluster.primary()).toBe(id);
        await more(20);
      }
    });
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
  });

  test('is refused for a node that does not serve', async () => {
    await cluster.local.stopNode('node-3');
    await expect(node('promote', 'node-3')).rejects.toThrow(/only a serving node can become primary/);
    await expect(node('promote', 'node-9')).rejects.toThrow('There is no node "node-9"');
    await cluster.local.startNode('node-3');
    await cluster.allServe();
  });
});

test('a drained node is stopped and started under load, without a failed request', async () => {
  const result = await underLoad(cluster, 'drained', async ({ more }) => {
    const id = await cluster.primary();
    expect(await node('drain', id)).toContain(`Node ${id} is out of service and may be stopped`);
    expect(await cluster.primary()).not.toBe(id);
    await more(20);
    await cluster.local.stopNode(id);
    await more(20);
    await cluster.local.startNode(id);
    expect(await node('undrain', id)).toBe(`Node ${id} serves.\n`);
  });
  expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
});
