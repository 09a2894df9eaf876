// What operators see on a real cluster: health, the log's statistics against a known backlog, metrics, and events.

import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Command } from 'commander';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HistoryColumns } from '../../src/api/admin/history.ts';
import type { WalStats } from '../../src/api/admin/wal-stats.ts';
import { alertCommand } from '../../src/cli/alert.ts';
import type { LiveContext } from '../../src/cli/command-context.ts';
import { doctorCommand } from '../../src/cli/doctor.ts';
import { logCommand } from '../../src/cli/log.ts';
import { slowCommand } from '../../src/cli/slow.ts';
import { statusCommand } from '../../src/cli/status.ts';
import { findFreePort } from '../../src/local/port.ts';
import { systemClock } from '../../src/util/clock.ts';
import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

const BACKLOG = 7;
const OBSERVABILITY = ['alerts.rules.yml', 'grafana-dashboard.json'].map(
  (name) => new URL(`../../deploy/observability/${name}`, import.meta.url),
);

let cluster: TestCluster;
let adminUrl: string;
let receiver: Server;
/** Bodies that the webhook has received. */
const received: string[] = [];
beforeAll(async () => {
  const port = await findFreePort();
  adminUrl = `http://127.0.0.1:${port}`;
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      received.push(body);
      response.end();
    });
  });
  const hookPort = await findFreePort();
  await new Promise<void>((resolve) => receiver.listen(hookPort, '127.0.0.1', resolve));
  const settings = {
    ADMIN_PORT: String(port),
    SLACK_WEBHOOK_URL: `http://127.0.0.1:${hookPort}/`,
    SLOW_QUERY_MS: '1',
    // As in production: a busy machine loses a lease of 1.5 s, and is not ready then.
    LEASE_MS: '10000',
    DATABASE_DISK_BYTES: '1',
    // The machine of the tests may be busy for a minute.
    WAL_CPU_THRESHOLD: '100',
    WAL_MEMORY_THRESHOLD: '100',
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${hookPort}`,
  };
  cluster = await TestCluster.start({ settings });
});
afterAll(async () => {
  await cluster?.stop();
  receiver.close();
});

const get = async (path: string, url = cluster.url, headers = {}): Promise<[number, string]> => {
  const response = await fetch(url + path, { headers });
  return [response.status, await response.text()];
};
const walStats = async (): Promise<WalStats> => JSON.parse((await get('/wal/stats'))[1]) as WalStats;
/** Values of a metric by its labels. */
const metric = async (name: string): Promise<Map<string, number>> => {
  const lines = (await get('/metrics'))[1].split('\n');
  const series = lines.flatMap((line) => {
    const [, of, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    return of === name ? [[labels, Number(value)] as const] : [];
  });
  return new Map(series);
};

test('every route responds on both listeners', async () => {
  const paths = [
    '/health/live',
    '/ready',
    '/health/ready',
    '/health/check',
    '/health',
    '/status',
    '/wal/status',
    '/wal/stats',
  ];
  for (const url of [cluster.url, adminUrl])
    for (const path of [...paths, '/metrics', '/metrics.json'])
      expect([path, (await get(path, url))[0]]).toEqual([path, 200]);
});

test('/metrics is text for Prometheus, and JSON with the fields of older dashboards when asked for JSON', async () => {
  await cluster.api.create('measured');
  expect((await metric('polychrome_node_up')).get('node="node-1"')).toBe(1);
  const created = 'route="create_collection",outcome="2xx"';
  expect((await metric('polychrome_http_request_duration_seconds_count')).get(created)).toBe(1);
  const [, text] = await get('/metrics', cluster.url, { accept: 'application/json' });
  expect(JSON.parse(text)).toMatchObject({
    memory_usage_mb: expect.any(Number) as number,
    memory_percent: expect.any(Number) as number,
    cpu_percent: expect.any(Number) as number,
    timestamp: expect.any(String) as string,
  });
});

test('every metric that the dashboard and the alert rules ask for exists', async () => {
  const [, text] = await get('/metrics');
  const types = new Map(
    Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name, type]) => [name!, type!]),
  );
  const exists = (name: string): boolean =>
    types.has(name) || types.get(name.replace(/_(?:bucket|sum|count)$/, '')) === 'histogram';
  const unknown = OBSERVABILITY.flatMap((file) =>
    Array.from(
      readFileSync(file, 'utf8').matchAll(/\b(?:polychrome|nodejs|process)_[a-z0-9_]+/g),
      ([name]) => name,
    ),
  ).filter((name) => !exists(name));
  expect(unknown).toEqual([]);
  expect(exists('polychrome_nonesuch')).toBe(false);
});

test('a stopped node is seen in health, status, statistics, metrics and events, and so is its return', async () => {
  const { api } = cluster;
  const id = await api.create('backlog');
  const add = (n: number): Promise<unknown> =>
    api.records(id, 'add', { ids: [`r${n}`], embeddings: [[n, 1]], documents: ['d'] });
  await add(0);
  await cluster.allServe();
  const before = await walStats();
  const primary = await cluster.primary();
  await cluster.local.stopNode(primary);
  for (let n = 1; n <= BACKLOG - 2; n++) await add(n);
  await api.records(id, 'delete', { ids: ['r1'] });
  await api.records(id, 'delete', { where_document: { $contains: 'nothing' } });
  const refused = await api.records(id, 'delete', { ids: [1] });
  expect(refused.status).toBeGreaterThanOrEqual(400);

  await until(async () => {
    const { pending } = await walStats();
    return Object.entries(pending).every(([node, entries]) => entries === (node === primary ? BACKLOG : 0));
  }, 'only the stopped node has a backlog');
  const during = await walStats();
  expect(during.appended.entries - before.appended.entries).toBe(BACKLOG);
  expect(during.appended.head - before.appended.head).toBe(BACKLOG);
  expect(during.applied[primary]?.checkpoint).toBe(before.appended.head);
  expect(during.deletions.by_id - before.deletions.by_id).toBe(1);
  expect(during.deletions.by_filter - before.deletions.by_filter).toBe(1);
  expect(during.deletions.refused - before.deletions.refused).toBe(1);
  expect(during.deletions.converted).toBe(0);
  expect(during.bytes.database).toBeGreaterThan(0);

  const status = await cluster.status();
  expect(status).toMatchObject({ healthy_instances: 2, total_instances: 3, pending: BACKLOG });
  expect(status.unified_wal).toMatchObject({ pending_writes: BACKLOG, is_syncing: true });
  expect(status.instances.find(({ name }) => name === primary)).toMatchObject({ healthy: false });
  expect(await get('/health')).toMatchObject([200, expect.stringContaining(`${primary} is down`) as string]);
  expect((await get('/ready'))[0]).toBe(200);
  expect((await metric('polychrome_node_lag_entries')).get(`node="${primary}"`)).toBe(BACKLOG);
  expect((await metric('polychrome_node_state')).get(`node="${primary}",state="down"`)).toBe(1);

  await cluster.local.startNode(primary);
  await cluster.allServe();
  expect(Object.values((await walStats()).pending)).toEqual([0, 0, 0]);
  const kinds = async (): Promise<string[]> => {
    const [, text] = await get(`/admin/events?node=${primary}`, adminUrl);
    return (JSON.parse(text) as { events: { kind: string }[] }).events.map(({ kind }) => kind);
  };
  await until(async () => (await kinds()).includes('node_recovered'), 'the recovery is recorded');
  expect(await kinds()).toContain('node_down');
  const [, events] = await get('/admin/events?kind=primary_changed', adminUrl);
  expect(events).toContain(`"before":"${primary}"`);
  await until(async () => received.some((body) => body.includes('Primary changed')), 'the failover is sent');
  expect((await get('/admin/events'))[0]).toBe(404);
  expect((await get('/admin/events?kind=nothing', adminUrl))[0]).toBe(400);
});

test('requests are traced as parts of the traces of their clients', async () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
  const id = await cluster.api.create('traced');
  await cluster.api.records(id, 'add', { ids: ['a'], embeddings: [[1, 1]] });
  const path = `/api/v2/tenants/default_tenant/databases/default_database/collections/${id}/count`;
  await get(path, cluster.url, { traceparent });
  await until(
    async () => received.some((body) => body.includes('"resourceSpans"') && body.includes(traceId)),
    'the spans arrive',
  );
});

test('the history is recorded, and the capacity is known', async () => {
  const recorded = async (): Promise<HistoryColumns> =>
    JSON.parse((await get('/admin/history', adminUrl))[1]) as HistoryColumns;
  await until(async () => {
    const { requests, nodes, gateways } = await recorded();
    const isMeasured = requests.writes.p95Ms.some((ms) => ms !== null);
    // The first samples may be of the time in which a test before had stopped a node.
    const hasServed = Object.values(nodes).every(({ serving }) => serving?.includes(1) ?? false);
    const isWhole = Object.keys(nodes).length === 3 && Object.keys(gateways).length === 1;
    return isMeasured && hasServed && isWhole;
  }, 'writes, nodes that serve and the gateway are in the history');
  const { times, nodes, data } = await recorded();
  const columns = [...Object.values(nodes['node-1']!), ...Object.values(data)];
  expect(columns.every(({ length }) => length === times.length)).toBe(true);
  expect((await get('/admin/history?resolution=1s', adminUrl))[0]).toBe(400);
  const database = async () =>
    (await cluster.status()).capacity?.resources.find(({ resource }) => resource === 'database');
  await until(async () => (await database()) !== undefined, 'the capacity is known');
  expect(await database()).toMatchObject({
    limitBytes: 1,
    limitReached: new Date().toISOString().slice(0, 10),
    advice: expect.any(String) as string,
  });
});

test('the commands show the cluster, and find nothing wrong with it', async () => {
  await cluster.allServe();
  const run = async (
    commandOf: (context: LiveContext) => Command,
    ...words: string[]
  ): Promise<[string, number]> => {
    let [output, code] = ['', 0];
    const write = (text: string | Uint8Array): void => void (output += Buffer.from(text).toString());
    const { signal } = new AbortController();
    const exitWith = (wanted: number): void => void (code = wanted);
    const env = cluster.environment();
    const command = commandOf({ env, write, clock: systemClock, signal, isTerminal: false, exitWith });
    await command.parseAsync([...words, '--url', adminUrl], { from: 'user' });
    return [output, code];
  };
  const [status, code] = await run(statusCommand);
  expect([status.split('\n')[0], code]).toEqual([expect.stringContaining('healthy · head') as string, 0]);
  const [log] = await run(logCommand, 'tail', '--limit', '5');
  expect(log).toMatch(/ delete +default_tenant\/default_database\/backlog +\d+ +-/);
  expect((await run(alertCommand, 'test'))[0]).toBe('slack: delivered\n');
  expect(received.some((body) => body.includes('Test of the alerts'))).toBe(true);
  // Of all slow requests of a second, the first five are kept; on a slow machine, those of health checks are among them.
  const id = await cluster.api.create('slow');
  await until(async () => {
    await cluster.api.records(id, 'add', { ids: ['a'], embeddings: [[1, 1]] });
    return (await run(slowCommand, '--limit', '1000'))[0].includes(' add ');
  }, 'slow requests are stored');
  const [doctor, problems] = await run(doctorCommand);
  expect(doctor).toContain('a member, with LSN');
  expect([doctor.match(/PROBLEM.*/g), problems]).toEqual([null, 0]);
});

test('the monitor, a process of its own, reports a gateway that is gone, and its return', async () => {
  const { port } = receiver.address() as AddressInfo;
  const { DATABASE_URL, NODES } = cluster.environment();
  const env = {
    ...process.env,
    LOAD_BALANCER_URL: cluster.url,
    NODES,
    DATABASE_URL,
    CHECK_INTERVAL: '1',
    FAILURE_THRESHOLD: '2',
    ALERT_WEBHOOK_URL: `http://127.0.0.1:${port}/`,
  };
  const once = (): Promise<[number, string]> =>
    new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        ['src/main.ts', 'monitor', '--once'],
        { env },
        (_error, output) => resolve([child.exitCode ?? -1, output]),
      );
    });
  const monitor = spawn(process.execPath, ['src/main.ts', 'monitor'], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const exited = new Promise((resolve) => monitor.once('exit', resolve));
  try {
    const hasSent = (...parts: string[]): Promise<void> =>
      until(
        async () => received.some((body) => parts.every((part) => body.includes(part))),
        `the monitor sends ${parts.join(', ')}`,
      );
    await new Promise((resolve) => monitor.stdout.once('data', resolve));
    await cluster.stopGateway();
    await cluster.local.stopNode('node-3');
    await hasSent('"state":"open"', '"kind":"gateway_down"', 'ECONNREFUSED', '"gateway":"monitor"');
    await hasSent('"state":"open"', '"key":"node_down:node-3"', '"gateway":"monitor"');
    expect(await once()).toEqual([2, expect.stringContaining('node_down:node-3') as string]);
    await cluster.local.startNode('node-3');
    await cluster.startGateway();
    await hasSent('"state":"closed"', '"kind":"gateway_down"');
    await hasSent('"state":"closed"', '"key":"node_down:node-3"', '"gateway":"monitor"');
    await cluster.allServe();
    expect(await once()).toEqual([0, 'Everything responds.\n']);
  } finally {
    monitor.kill('SIGTERM');
  }
  expect(await exited).toBe(0);
});
