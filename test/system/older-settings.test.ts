// The environment of an older guide on a real gateway: what its settings change, seen from outside in its behaviour.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Status } from '../../src/api/admin/status.ts';
import { startLocalCluster, type LocalCluster } from '../../src/local/cluster.ts';
import { openDataDirectory } from '../../src/local/data-directory.ts';
import { findFreePort } from '../../src/local/port.ts';
import { NodeCommand } from '../../src/nodes/node-command.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { chromaCommand } from '../support/chroma-server.ts';
import { copyPostgresTemplate } from '../support/postgres-template.ts';
import { sql } from '../support/postgres-faults.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/until.ts';

const READS = 40;
const nothing = (): void => undefined;
const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing };

let dir: string;
let local: LocalCluster;
/** Between the gateway and the replica. */
let proxy: TcpProxy;
let receiver: Server;
let gateway: ChildProcess;
let url: string;
let environment: Record<string, string>;
let output = '';
const received: string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'polychrome-older-'));
  receiver = createServer((request, response) => {
    request.on('data', (chunk) => received.push(String(chunk)));
    request.on('end', () => response.end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const dataDir = join(dir, 'data');
  await copyPostgresTemplate(openDataDirectory(dataDir).postgresFolder);
  local = await startLocalCluster({
    dataDir,
    nodes: 2,
    chroma: chromaCommand,
    logger: quiet,
  });
  proxy = await TcpProxy.start(local.nodes[1]!.url);
  const port = await findFreePort();
  url = `http://127.0.0.1:${port}`;
  environment = {
    PRIMARY_URL: local.nodes[0]!.url,
    REPLICA_URL: `${proxy.url}/`,
    DATABASE_URL: local.databaseUrl,
    PORT: String(port),
    HOST: '127.0.0.1',
    CHECK_INTERVAL: '30',
    FAILURE_THRESHOLD: '3',
    LOAD_BALANCE_STRATEGY: 'optimized_read_replica',
    READ_REPLICA_RATIO: '1',
    REQUEST_TIMEOUT: '2',
    WAL_ENABLED: 'true',
    WAL_SYNC_INTERVAL: '2',
    WAL_BATCH_SIZE: '2',
    WAL_HIGH_VOLUME_BATCH_SIZE: '16',
    WAL_DELETION_CONVERSION: 'true',
    WAL_CPU_THRESHOLD: '1',
    MAX_MEMORY_MB: '256',
    NOTIFICATION_WEBHOOK: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`,
    INSTANCE_ROLE: 'primary',
    RESULT_CACHE_BYTES: '0',
  };
  gateway = serve(environment);
  await until(
    async () => (await status()).nodes.every(({ state }) => state === 'serving'),
    'both nodes serve',
  );
});
afterAll(async () => {
  gateway?.kill('SIGKILL');
  await proxy?.stop();
  receiver?.close();
  for (const { id } of local?.nodes ?? []) local.killNode(id);
  await local?.stop();
  await rm(dir, { recursive: true, force: true });
});

function serve(env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, ['src/main.ts', 'serve'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  return child;
}

const status = async (): Promise<Status> => (await (await fetch(`${url}/status`)).json()) as Status;

/** Sum of the series of a metric whose labels contain this. */
async function metric(name: string, labels = ''): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n');
  const series = lines.filter((line) => line.startsWith(name) && line.includes(labels));
  return series.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

test('PRIMARY_URL and REPLICA_URL are the nodes; WAL_SYNC_INTERVAL is shown; others say what replaced them', async () => {
  const { nodes, unified_wal } = await status();
  expect(nodes.map(({ id, role }) => [id, role])).toEqual([
    ['primary', 'primary'],
    ['replica', 'replica'],
  ]);
  expect(unified_wal.sync_interval_seconds).toBe(2);
  for (const name of ['CHECK_INTERVAL', 'FAILURE_THRESHOLD', 'INSTANCE_ROLE', 'WAL_SYNC_INTERVAL'])
    expect(output).toContain(`${name} does not do here what it does elsewhere`);
  // LOG_LEVEL info, the default, in JSON lines.
  expect(output).toMatch(/\{"level":30,/);
  expect(output).not.toMatch(/\{"level":20,/);
});

/** What the gateway does with the head of a request for a body of 35 MiB, which is not sent. */
function announceLargeBody(): { readonly outcome: Promise<string>; readonly end: () => void } {
  const path = '/api/v2/tenants/default_tenant/databases/default_database/collections/x/add';
  const headers = { expect: '100-continue', 'content-length': String(35 * 1_048_576) };
  const sent = httpRequest(url + path, { method: 'POST', headers });
  const outcome = new Promise<string>((resolve) => {
    sent.once('continue', () => resolve('continue'));
    sent.once('response', ({ statusCode }) => resolve(String(statusCode)));
    sent.once('error', (error) => resolve(error.message));
  });
  sent.flushHeaders();
  return { outcome, end: () => sent.destroy() };
}

test('MAX_MEMORY_MB bounds request bodies: of two large ones, the second is refused', async () => {
  const first = announceLargeBody();
  expect(await first.outcome).toBe('continue');
  const second = announceLargeBody();
  expect(await second.outcome).toBe('503');
  first.end();
  second.end();
});

/** Resolves when both nodes have applied the log. */
const applied = (): Promise<void> =>
  until(
    async () => ((await (await fetch(`${url}/status`)).json()) as { pending: number }).pending === 0,
    'both nodes have applied the writes',
  );

async function writeAtOnce(id: string, count: number): Promise<void> {
  const writes = Array.from({ length: count }, (_each, n) =>
    new ChromaHttp(url).records(id, 'upsert', { ids: [`r${n}`], embeddings: [[n, 1]] }),
  );
  for (const { status: code } of await Promise.all(writes)) expect(code).toBe(200);
}

/** Rounds of a node, and how many of them had at most two entries. */
async function rounds(node: string): Promise<{ all: number; small: number }> {
  const name = 'polychrome_apply_round_entries_';
  const labels = `node="${node}"`;
  return {
    all: await metric(`${name}count`, labels),
    small: await metric(`${name}bucket`, `${labels},le="2"`),
  };
}

test('WAL_BATCH_SIZE bounds rounds, READ_REPLICA_RATIO sends reads to the replica', async () => {
  const api = new ChromaHttp(url);
  const id = await api.create('older');
  await writeAtOnce(id, 40);
  await applied();
  const primary = await rounds('primary');
  expect(primary.all).toBeGreaterThan(20);
  expect(primary.small).toBe(primary.all);
  const replica = await rounds('replica');
  expect(replica.small).toBe(replica.all);
  const reads = (node: string): Promise<number> =>
    metric('polychrome_node_call_duration_seconds_count', `node="${node}",kind="read"`);
  const before = [await reads('primary'), await reads('replica')] as const;
  for (let n = 0; n < READS; n++) await api.records(id, 'get', { ids: [`r${n}`] });
  expect((await reads('replica')) - before[1]).toBeGreaterThanOrEqual(READS);
  expect((await reads('primary')) - before[0]).toBeLessThan(READS / 2);
});

test('WAL_SYNC_INTERVAL is the lag from which on health is degraded, WAL_HIGH_VOLUME_BATCH_SIZE bounds rounds of catching up', async () => {
  const api = new ChromaHttp(url);
  const id = await api.create('lagging');
  await applied();
  const before = await rounds('replica');
  const released = Promise.withResolvers<void>();
  const isHeld = (chunk: Buffer): boolean => chunk.includes('"r0"') || chunk.includes('"r1"');
  proxy.holds = (chunk) => (isHeld(chunk) ? released.promise : null);
  await writeAtOnce(id, 40);
  // Without the setting: 30 s.
  await until(
    async () => (await component('lag')).includes('replica is '),
    'the lag degrades health',
    20_000,
  );
  await proxy.set('refuse');
  await until(async () => (await status()).nodes[1]!.state === 'down', 'the replica is down');
  proxy.holds = null;
  released.resolve();
  await proxy.set('pass');
  await applied();
  const after = await rounds('replica');
  expect(after.all - before.all).toBeLessThan(20);
  expect(after.small - before.small).toBeLessThan(after.all - before.all);
  expect((await rounds('primary')).small).toBe((await rounds('primary')).all);
});

/** Why a component is degraded. */
async function component(name: string): Promise<string> {
  const { components } = (await (await fetch(`${url}/health/check`)).json()) as {
    components: Record<string, { reason: string | null }>;
  };
  return components[name]!.reason ?? '';
}

test('WAL_CPU_THRESHOLD is the use from which on health is degraded', async () => {
  await until(async () => (await component('cpu')).includes('of its CPU'), 'CPU is above 1 %');
});

test('WAL_DELETION_CONVERSION widens no delete, DATABASE_URL has the log', async () => {
  const api = new ChromaHttp(url);
  const id = await api.create('chunks');
  const ids = ['c1', 'c2', 'c3'];
  const metadatas = ids.map(() => ({ document_id: 'd' }));
  await api.records(id, 'add', { ids, embeddings: ids.map((_each, n) => [n, 1]), metadatas });
  await api.records(id, 'delete', { ids: ['c2'] });
  await applied();
  const nameOf = (_id: string, name: string): string | null => (name === 'chunks' ? name : null);
  for (const node of local.nodes) {
    const content = await new ChromaHttp(node.url).everything(nameOf);
    expect(ids.filter((each) => content.includes(`"${each}"`))).toEqual(['c1', 'c3']);
  }
  const stats = (await (await fetch(`${url}/wal/stats`)).json()) as { deletions: object };
  expect(stats.deletions).toMatchObject({ by_id: 1, converted: 0 });
  const [row] = await sql<{ entries: string }>(
    { superuserUrl: local.databaseUrl },
    'select count(*) as entries from polychrome.log',
  );
  expect(Number(row!.entries)).toBe((await status()).head);
});

test('NODE_RESTART_COMMAND gets the node, and runs once a minute for each', async () => {
  const file = join(dir, 'restarted');
  const command = `echo "$NODE_ID $NODE_URL" >> ${file}`;
  const restart = new NodeCommand({ purpose: 'restart', command, clock: systemClock, logger: quiet });
  restart.run('a', 'http://a');
  restart.run('a', 'http://a');
  await until(async () => (await readFile(file, 'utf8')) !== '', 'the command has run');
  restart.run('b', 'http://b');
  await until(async () => (await readFile(file, 'utf8')).includes('b'), 'it has run for the other node');
  expect(await readFile(file, 'utf8')).toBe('a http://a\nb http://b\n');
});

test('REQUEST_TIMEOUT ends reads that no node serves, and NOTIFICATION_WEBHOOK gets an alert', async () => {
  const api = new ChromaHttp(url);
  const id = await api.create('silent');
  for (const node of local.nodes) process.kill(node.pid()!, 'SIGSTOP');
  try {
    const begun = performance.now();
    const { status: code } = await api.records(id, 'get', { ids: ['x'] });
    expect(code).toBeGreaterThanOrEqual(500);
    // Without the setting: 60 s.
    expect(performance.now() - begun).toBeLessThan(30_000);
    await until(async () => received.some((body) => body.includes('Node down')), 'the alert is sent');
  } finally {
    for (const node of local.nodes) process.kill(node.pid()!, 'SIGCONT');
  }
});

test('WAL_ENABLED=false is refused in a sentence', async () => {
  const child = serve({ ...environment, WAL_ENABLED: 'false' });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code).toBe(1);
  expect(output).toContain('WAL_ENABLED must be true');
});
