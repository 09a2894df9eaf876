// PostgreSQL with a standby: kill -9 of the primary under load and promotion of the standby. Nothing acknowledged is
// lost, and service resumes without a restart of the gateway.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { PostgresPair, query } from '../support/postgres-pair.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const settings = { LOG_TIMEOUT_MS: '1500', WRITE_TIMEOUT_MS: '3000', LEASE_MS: '1500' };

describe('with a synchronous standby', () => {
  let cluster: TestCluster;
  let pair: PostgresPair;
  beforeAll(async () => {
    pair = await PostgresPair.start({ synchronous: true });
    cluster = await TestCluster.start({ nodes: 2, settings, databaseUrl: async () => pair.url });
  });
  afterAll(async () => {
    await cluster?.stop();
    await pair?.stop();
  });

  test('loses no acknowledged write and resumes when the primary is killed and the standby promoted', async () => {
    const workload = await CheckedWorkload.prepare(() => cluster.api, 'failover');
    const stop = new AbortController();
    const running = workload.run(stop.signal);
    await until(async () => workload.acknowledged > 100, 'writes succeed');
    pair.primary.signal('SIGKILL');
    await pair.promote();
    const before = workload.acknowledged;
    await until(async () => workload.acknowledged > before + 100, 'writes succeed on the new primary');
    stop.abort();
    await running;
    await cluster.allServe();
    expect((await cluster.status()).halted).toBeNull();
    // The leader has compared the log with nodes and memory before anything was appended.
    expect(await query(pair.standby, 'select timeline from polychrome.head')).toEqual([{ timeline: 2 }]);
    expect(await workload.faults(cluster)).toEqual([]);
  });
});

describe('with an asynchronous standby that lacks acknowledged writes', () => {
  let cluster: TestCluster;
  let pair: PostgresPair;
  let head: unknown[];
  beforeAll(async () => {
    pair = await PostgresPair.start({ synchronous: false });
    cluster = await TestCluster.start({ nodes: 2, settings, databaseUrl: async () => pair.url });
    const collection = await cluster.api.create('records');
    await pair.detach();
    const body = { ids: ['lost'], embeddings: [[1, 2]] };
    const { status, headers } = await cluster.api.records(collection, 'add', body);
    expect(status).toBe(201);
    const lost = Number(headers.get('x-polychrome-lsn'));
    await until(async () => {
      const [row] = await query(pair.primary, 'select min(marker_lsn)::int as lsn from polychrome.node');
      return Number(row?.['lsn']) >= lost;
    }, 'the markers of the nodes hold it');
    pair.primary.signal('SIGKILL');
    await pair.promote();
    head = await query(pair.standby, 'select lsn::int from polychrome.head');
    expect(head).toEqual([{ lsn: lost - 1 }]);
  });
  afterAll(async () => {
    await cluster?.stop();
    await pair?.stop();
  });

  /** No LSN is used twice: writes are refused, and nothing is appended. */
  async function refusesWrites(): Promise<void> {
    const { status } = await cluster.api.call('POST', '/api/v2/tenants', { name: 'another' });
    expect(status).toBe(503);
    expect(await query(pair.standby, 'select lsn::int from polychrome.head')).toEqual(head);
  }

  const isHalted = async (): Promise<boolean> =>
    (await cluster.status()).halted?.startsWith('log_rewound: ') === true;

  test('the gateway that acknowledged them stops all writes', async () => {
    await until(isHalted, 'the gateway reports log_rewound');
    await refusesWrites();
  });

  test('a gateway without memory of them learns it from the markers of the nodes', async () => {
    await cluster.stopGateway();
    await query(
      pair.standby,
      'update polychrome.head set rewound = null, rewound_lsn = null, timeline = null',
    );
    // It never becomes healthy, which startGateway() waits for.
    cluster.startGateway().catch(() => undefined);
    await until(isHalted, 'the new gateway reports log_rewound');
    await refusesWrites();
    const [row] = await query(pair.standby, 'select rewound from polychrome.head');
    expect(row?.['rewound']).toMatch(/^log_rewound: node-\d has applied LSN /);
  });
});
