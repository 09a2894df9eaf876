// An upgrade of gateways: one of the release before the newest migration serves beside one of this release.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { checkOut, earlierRelease } from '../support/earlier-release.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { until } from '../support/until.ts';

const release = earlierRelease();
const folder = mkdtempSync(join(tmpdir(), 'polychrome-release-'));

let cluster: TestCluster;
let earlier: GatewayProcess;
let collection: string;
beforeAll(async () => {
  if (release === null) return;
  checkOut(release, folder);
  cluster = await TestCluster.start({
    nodes: 2,
    async prepare(of) {
      earlier = await GatewayProcess.start(of.environment(), { folder });
      collection = await earlier.api.create('upgraded');
    },
  });
});
afterAll(async () => {
  await earlier?.stop('SIGKILL');
  await cluster?.stop();
  rmSync(folder, { recursive: true });
});

const upsert = async (api: ChromaHttp, n: number): Promise<number> =>
  (await api.records(collection, 'upsert', { ids: ['a'], embeddings: [[n, 1]], documents: [`v${n}`] }))
    .status;
const read = async (api: ChromaHttp): Promise<string> =>
  (await api.records(collection, 'get', { ids: ['a'] })).text;

test.runIf(release !== null)(
  'a gateway of the earlier release goes on beside one of this release, on the newer tables',
  async () => {
    expect(await earlier.leads()).toBe(true);
    for (let n = 0; n < 20; n++) {
      const [writer, reader] = n % 2 === 0 ? [earlier.api, cluster.api] : [cluster.api, earlier.api];
      expect(await upsert(writer, n)).toBe(200);
      expect(await read(reader)).toContain(`"v${n}"`);
    }
    const created = await cluster.api.create('of-this-release');
    expect((await earlier.api.collections()).text).toContain(created);
  },
);

test.runIf(release !== null)('the gateway of this release takes over, and no request fails', async () => {
  const end = earlier.stop('SIGTERM');
  let isOver = false;
  void end.finally(() => (isOver = true));
  for (let n = 100; !isOver || n < 110; n++) {
    expect(await upsert(cluster.api, n)).toBe(200);
    expect(await read(cluster.api)).toContain(`"v${n}"`);
  }
  await until(async () => (await cluster.status()).leader !== null, 'the gateway of this release leads');
});

test.runIf(release !== null)(
  'a gateway of the earlier release does not start on the newer tables',
  async () => {
    const again = GatewayProcess.start(cluster.environment(), { folder });
    await expect(again).rejects.toThrow('made by a newer Polychrome');
  },
);
