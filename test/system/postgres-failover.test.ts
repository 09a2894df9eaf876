// PostgreSQL with a standby: a changed password, the end of the primary's machine under load, promotion of the standby. Nothing
// acknowledged is lost, and service resumes without a restart of a gateway.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { logCommand } from '../../src/cli/log.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { ChromaHttp } from '../support/chroma-http.ts';
import { TestCluster } from '../support/cluster.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { killPostgres } from '../support/postgres-faults.ts';
import { PostgresPair, query } from '../support/postgres-pair.ts';
import { TestCommand } from '../support/operation-context.ts';
import { until } from '../support/until.ts';
import { CheckedWorkload } from '../support/workload.ts';

const settings = { LOG_TIMEOUT_MS: '1500', WRITE_TIMEOUT_MS: '3000', LEASE_MS: '2500' };

describe('with a synchronous standby', () => {
  let cluster: TestCluster;
  let second: GatewayProcess;
  let pair: PostgresPair;
  let dir: string;
  beforeAll(async () => {
    pair = await PostgresPair.start({ synchronous: true });
    dir = mkdtempSync(join(tmpdir(), 'polychrome-test-'));
    await query(pair.primary, `create role gateway login superuser password 'first'`);
    usePassword('first');
    const file = { DATABASE_URL: '', DATABASE_URL_FILE: join(dir, 'url') };
    cluster = await TestCluster.start({
      nodes: 2,
      settings: { ...settings, ...file },
      superuserUrl: () => pair.writableUrl,
    });
    second = await GatewayProcess.start(cluster.environment());
  });
  afterAll(async () => {
    await second?.stop('SIGKILL');
    await cluster?.stop();
    await pair?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const usePassword = (password: string): void =>
    writeFileSync(join(dir, 'url'), `${pair.url(`gateway:${password}`)}\n`);

  /** Runs the workload through both gateways and `event`, and compares every node with what was promised. */
  async function survives(name: string, event: () => Promise<void>): Promise<void> {
    let requests = 0;
    const either = (): ChromaHttp => (requests++ % 2 === 0 ? cluster.api : second.api);
    const workload = await CheckedWorkload.prepare(either, name);
    const stop = new AbortController();
    const running = workload.run(stop.signal);
    const more = async (what: string): Promise<void> => {
      const before = workload.acknowledged;
      await until(async () => workload.acknowledged > before + 50, what);
    };
    await more('writes succeed');
    await event();
    await more('writes succeed again');
    stop.abort();
    await running;
    await cluster.allServe();
    expect((await cluster.status()).halted).toBeNull();
    expect(await workload.faults(cluster)).toEqual([]);
  }

  test('a changed password of PostgreSQL needs no restart', async () => {
    await survives('rotation', async () => {
      await query(pair.primary, `alter role gateway password 'second'`);
      usePassword('second');
      await query(
        pair.primary,
        `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gateway'`,
      );
    });
  });

  test('no acknowledged write is lost when the primary is killed and the standby promoted', async () => {
    await survives('failover', async () => {
      killPostgres(pair.primary);
      await pair.promote();
    });
    // The leader has compared the log with nodes and memory before anything was appended.
    expect(await query(pair.standby, 'select timeline from polychrome.head')).toEqual([{ timeline: 2 }]);
  });

  test('reads at level strong need PostgreSQL, and others do not', async () => {
    await second.stop();
    const { api } = cluster;
    const collection = await api.create('levels');
    const body = { ids: ['a'], embeddings: [[1, 2]] };
    expect((await api.records(collection, 'add', body)).status).toBe(201);
    const levels = ['strong', 'session', 'bounded', 'bounded=60000', 'eventual'];
    const statuses = (): Promise<number[]> =>
      Promise.all(
        levels.map(async (level) => {
          const header = { 'x-polychrome-consistency': level };
          return (await api.records(collection, 'count', undefined, header)).status;
        }),
      );
    expect(await statuses()).toEqual([200, 200, 200, 200, 200]);
    pair.standby.signal('SIGKILL');
    // Only a bound that the last query is within can be kept.
    await until(async () => String(await statuses()) === '503,200,503,200,200', 'levels without PostgreSQL');
  });
});

describe('with an asynchronous standby that lacks acknowledged writes', () => {
  let cluster: TestCluster;
  let pair: PostgresPair;
  let head: unknown[];
  beforeAll(async () => {
    pair = await PostgresPair.start({ synchronous: false });
    cluster = await TestCluster.start({
      nodes: 2,
      settings,
      databaseUrl: async () => pair.url(),
      superuserUrl: () => pair.writableUrl,
    });
    const collection = await cluster.api.create('records');
    await until(async () => {
      const rows = await query(pair.standby, 'select 1 from polychrome.node_shard');
      return rows.length === cluster.local.nodes.length;
    }, 'the standby knows the collection on both nodes');
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

  /** `polychrome log recover` with these options. */
  async function recoverLog(...options: string[]): Promise<TestCommand> {
    const command = new TestCommand({ clock: systemClock });
    const built = logCommand(undefined, command);
    await built.parseAsync(['recover', ...options, '--url', cluster.url], { from: 'user' });
    return command;
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

  test('an operator accepts the loss: service resumes, no LSN is used twice, and the nodes agree', async () => {
    const [{ lsn }] = head as [{ lsn: number }];
    const lost = { from: lsn + 1, to: lsn + 1, missing: [], silent: [] };
    // The gateway is halted, and answers its operator API.
    const shown = await recoverLog('--json');
    expect(JSON.parse(shown.output)).toMatchObject(lost);
    expect((await query(pair.standby, 'select rewound from polychrome.head'))[0]?.['rewound']).not.toBeNull();
    const refused = await cluster.api.call('POST', '/admin/log/recover');
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('accept_loss=true')]);
    const recovered = await recoverLog('--accept-loss', '--json');
    const { state, result } = JSON.parse(recovered.output) as { state: string; result: { kept: string } };
    expect([state, result]).toEqual(['done', expect.objectContaining(lost)]);
    const { kept } = result;
    await cluster.allServe(120_000);
    await expect(recoverLog('--accept-loss')).rejects.toThrow('nothing to recover');
    const [{ id } = { id: '' }] = JSON.parse((await cluster.api.collections()).text) as { id: string }[];
    const body = { ids: ['after'], embeddings: [[3, 4]] };
    const added = await cluster.api.records(id, 'add', body);
    expect(added.status).toBe(201);
    expect(Number(added.headers.get('x-polychrome-lsn'))).toBeGreaterThan(lsn + 1);
    await until(
      async () => {
        const text = `select node, suspect from polychrome.node_shard where state = 'current' and suspect is not null`;
        const suspects = await query(pair.standby, text);
        if (suspects.length === 0) return true;
        throw new Error(JSON.stringify({ suspects, rebuilds: (await cluster.status()).rebuilds }));
      },
      'every copy is there',
      120_000,
    );
    await cluster.allServe();
    const contents = await cluster.contents();
    expect(new Set(contents.values()).size).toBe(1);
    // The node that was kept had applied the lost entry.
    expect(contents.get(kept)).toContain('"lost"');
    expect(contents.get(kept)).toContain('"after"');
  }, 240_000);
});
