// The Chroma release of every node is changed, one node after the other, while clients write and read. Runs where two
// releases are at hand: npm run test:newest.

import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Child } from '../../src/local/child.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { commandTemplate, findChromaRelease } from '../../src/local/chroma-release.ts';
import { nodeCommand } from '../../src/cli/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { chromaCommand } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';
import { underLoad } from '../support/load.ts';
import { TestCommand } from '../support/operation-context.ts';
import { until } from '../support/until.ts';

const hasTwoReleases = chromaCommand !== undefined;

let cluster: TestCluster;
let scratch: string;
const started: Child[] = [];
beforeAll(async () => {
  if (!hasTwoReleases) return;
  // As long as in production: on a busy machine a shorter lease is lost, and requests fail for that reason.
  cluster = await TestCluster.start({ nodes: 3, chroma: null, settings: { LEASE_MS: '5000' } });
  scratch = await cluster.api.create('scratch');
});
afterAll(async () => {
  for (const child of started) child.signal('SIGKILL');
  await Promise.all(started.map((child) => child.stop()));
  await cluster?.stop();
});

async function node(...words: string[]): Promise<string> {
  const command = new TestCommand({ clock: systemClock });
  await nodeCommand(command).parseAsync([...words, '--url', cluster.url], { from: 'user' });
  return command.output;
}

/** Starts the newest release on the folder and port of a stopped node. */
async function startNewest(id: string): Promise<void> {
  const { url, dataDir } = cluster.local.nodes.find((each) => each.id === id)!;
  const release = commandTemplate(chromaCommand!);
  const logFile = join(cluster.dataDir, `${id}-newest.log`);
  const port = Number(new URL(url).port);
  started.push(await startChroma({ name: id, release, path: dataDir, port, logFile, clock: systemClock }));
}

/** Only the newest release takes lists in metadata. */
const takesLists = async (): Promise<boolean> => {
  const body = { ids: ['list'], embeddings: [[1, 2]], metadatas: [{ list: ['x', 'y'] }] };
  const { status } = await cluster.api.records(scratch, 'upsert', body);
  return status === 200;
};

test.runIf(hasTwoReleases)(
  'no request fails, mixed releases keep the lower level, and the last one raises it',
  async () => {
    expect((await findChromaRelease()).name).not.toBe(chromaCommand);
    expect(await takesLists()).toBe(false);
    const levels: boolean[] = [];
    const result = await underLoad(cluster, 'upgrade', async ({ more }) => {
      for (const { id } of cluster.local.nodes) {
        await node('drain', id);
        await cluster.local.stopNode(id);
        await startNewest(id);
        expect(await node('undrain', id)).toBe(`Node ${id} serves.\n`);
        levels.push(await takesLists());
        await more(20);
      }
    });
    expect(result).toEqual({ faults: [], failedWrites: [], failedReads: [] });
    expect(levels.slice(0, 2)).toEqual([false, false]);
    await until(takesLists, 'the level is that of the newest release');
    const compared = await node('verify', 'node-1');
    expect(compared).toContain('No copy is wrong.');
  },
);
