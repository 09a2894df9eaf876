// A row of the log that does not match its checksum is never applied: appliers stop before it, report it, and continue
// once it is repaired. Reads continue throughout.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { sql } from '../support/postgres-faults.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ settings: { WRITE_TIMEOUT_MS: '5000' } });
});
afterAll(() => cluster.stop());

test('stops replication only to the node that needs a damaged entry', async () => {
  const { api } = cluster;
  const id = await api.create('damaged');
  await cluster.allServe();
  await cluster.local.stopNode('node-3');
  for (const record of ['before', 'within', 'after']) {
    expect(
      (await api.records(id, 'upsert', { ids: [record], embeddings: [[1]], documents: [record] })).status,
    ).toBe(200);
  }
  // The markers of the other nodes are past the entry, so a new gateway verifies them without it.
  await until(async () => {
    const past = await sql(cluster, 'select id from polychrome.node, polychrome.head where marker_lsn = lsn');
    return past.length === 2;
  }, 'the markers are written');
  // A gateway that still has the entry in its log buffer would not read the damaged row.
  await cluster.stopGateway();
  const [{ lsn, body } = { lsn: 0, body: Buffer.alloc(0) }] = await sql<{ lsn: string; body: Buffer }>(
    cluster,
    `select lsn, body from polychrome.log where convert_from(body, 'UTF8') like '%"within"%'`,
  );
  const forged = body.toString().replace('"documents":["within"]', '"documents":["forged"]');
  const setBody = (text: string): Promise<object[]> =>
    sql(cluster, 'update polychrome.log set body = $2 where lsn = $1', [lsn, Buffer.from(text)]);
  await setBody(forged);
  await cluster.startGateway();
  await cluster.local.startNode('node-3');

  await until(async () => (await cluster.status()).halted !== null, 'the log is reported as damaged');
  const { halted, nodes } = await cluster.status();
  expect(halted).toContain(`damaged at LSN ${lsn}`);
  const behind = nodes.find((node) => node.id === 'node-3')!;
  expect(behind.state).not.toBe('serving');
  expect(behind.checkpoint).toBeLessThan(Number(lsn));
  const read = await api.records(id, 'get', { ids: ['within'], include: ['documents'] });
  expect([read.status, read.text]).toEqual([200, expect.stringContaining('"documents":["within"]')]);
  const write = await api.records(id, 'upsert', { ids: ['x'], embeddings: [[1]] });
  expect([write.status, write.headers.has('retry-after')]).toEqual([503, true]);
  expect(await cluster.node('node-3').everything()).not.toMatch(/within|forged|after/);

  await setBody(body.toString());
  await cluster.allServe();
  expect((await cluster.status()).halted).toBeNull();
  expect((await api.records(id, 'upsert', { ids: ['x'], embeddings: [[1]] })).status).toBe(200);
  await cluster.allServe();
  expect(new Set((await cluster.contents()).values()).size).toBe(1);
});
