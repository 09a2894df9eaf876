// Rounds under writes without fault, in which every detector compares and none raises an alarm; then one damage for each
// detector, which it finds in the same run.

import { TestCluster } from '../support/cluster.ts';
import { ServerFiles } from '../support/damage.ts';
import { underLoad } from '../support/load.ts';
import { until } from '../support/until.ts';
import { differences, fill, type HealDrill, onNode, replicaOf, suspectEvents, withCluster } from './drill.ts';

const ROUNDS = 20;
const ROUNDS_SHORT = 2;
const RECORDS = 1_200;
const EDIT = { ids: ['r7'], documents: ['edited'] };

export const quietRounds: HealDrill = {
  name: 'quiet-rounds',
  about: 'twenty rounds under writes without fault raise no alarm; then each detector finds its damage',
  run: ({ isShort, log }) =>
    withCluster(
      TestCluster.start({
        settings: {
          SCRUB_INTERVAL: '0',
          SCRUB_BYTES_PER_SECOND: '1000000000',
          READ_VERIFY_RATIO: '1',
          RESULT_CACHE_BYTES: '0',
        },
      }),
      async (cluster) => {
        const kept = await fill(cluster, 'kept', RECORDS);
        await cluster.allServe();
        const faults = await rounds(cluster, kept, isShort ? ROUNDS_SHORT : ROUNDS, log);
        return [...faults, ...(await detectorsFind(cluster, log))];
      },
    ),
};

async function rounds(
  cluster: TestCluster,
  kept: string,
  count: number,
  log: (line: string) => void,
): Promise<string[]> {
  const result = await underLoad(cluster, 'quiet', async ({ more }) => {
    for (let round = 1; round <= count; round++) {
      const { suspects, records } = await scrub(cluster);
      for (let n = 0; n < 20; n++) await read(cluster, kept, `r${n}`);
      const node = await replicaOf(cluster);
      await verify(cluster, node);
      await cluster.local.stopNode(node);
      await more(10);
      await cluster.local.startNode(node);
      const serves = async (): Promise<boolean> =>
        (await cluster.status()).nodes.find(({ id }) => id === node)!.state === 'serving';
      await until(serves, `${node} serves again`, 120_000);
      log(`round ${round} of ${count}: ${String(records)} records compared, ${String(suspects)} suspects`);
    }
  });
  const alarms = await suspectEvents(cluster);
  return [
    ...result.faults,
    ...result.failedWrites,
    ...result.failedReads,
    ...alarms.map((each) => `alarm: ${each}`),
  ];
}

/** Each detector finds the damage made for it, and nothing else is suspect. */
async function detectorsFind(cluster: TestCluster, log: (line: string) => void): Promise<string[]> {
  const detectors: Readonly<Record<string, (id: string, node: string) => Promise<void>>> = {
    scrub: async (id, node) => {
      await (
        await onNode(cluster, node, id)
      )('update', EDIT);
      await scrub(cluster);
    },
    'compared-read': async (id, node) => {
      await (
        await onNode(cluster, node, id)
      )('update', EDIT);
      await until(async () => {
        await read(cluster, id, 'r7');
        return (await suspectEvents(cluster)).some((each) => each.includes(' compared-read: '));
      }, 'a compared read finds the edit');
    },
    'node-verify': async (id, node) => {
      await (
        await onNode(cluster, node, id)
      )('update', EDIT);
      await verify(cluster, node);
    },
    'verify-on-return': async (_id, node) => {
      await cluster.local.stopNode(node);
      const { dataDir } = cluster.local.nodes.find(({ id }) => id === node)!;
      new ServerFiles(dataDir).editDocument('verify-on-return', 'r7');
      await cluster.local.startNode(node);
    },
  };
  const faults: string[] = [];
  for (const [name, damage] of Object.entries(detectors)) {
    const id = await fill(cluster, name, 30);
    await cluster.allServe();
    const node = await replicaOf(cluster);
    const before = (await suspectEvents(cluster)).length;
    await damage(id, node);
    await until(
      async () => (await suspectEvents(cluster)).length > before,
      `${name} finds its damage`,
      120_000,
    );
    const found = (await suspectEvents(cluster)).slice(before);
    log(`${name}: ${found.join('; ')}`);
    faults.push(...found.filter((each) => !each.startsWith(`${node} ${name}: `)));
    faults.push(...(await differences(cluster)));
  }
  return faults;
}

async function scrub(cluster: TestCluster): Promise<Record<string, unknown>> {
  return operation(cluster, '/admin/scrub');
}

async function verify(cluster: TestCluster, node: string): Promise<Record<string, unknown>> {
  return operation(cluster, `/admin/nodes/${node}/verify`);
}

/** Starts a long operation and waits for it. */
async function operation(cluster: TestCluster, path: string): Promise<Record<string, unknown>> {
  const started = await cluster.api.call('POST', path);
  if (started.status !== 202) throw new Error(`${path}: ${started.status} ${started.text}`);
  const { id } = JSON.parse(started.text) as { id: string };
  let ended: { state: string; error: string | null; result: Record<string, unknown> | null };
  await until(
    async () => {
      ended = JSON.parse((await cluster.api.call('GET', `/admin/operations/${id}`)).text) as typeof ended;
      return ended.state !== 'running';
    },
    `${path} has ended`,
    300_000,
  );
  if (ended!.state !== 'done') throw new Error(`${path}: ${ended!.error}`);
  return ended!.result ?? {};
}

async function read(cluster: TestCluster, id: string, record: string): Promise<void> {
  await cluster.api.records(id, 'get', { ids: [record], include: ['documents'] });
}
