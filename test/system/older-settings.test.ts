// The environment of an older guide on a real gateway: what its settings change, seen from outside.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Status } from '../../src/api/admin/status.ts';
import { startLocalCluster, type LocalCluster } from '../../src/local/cluster.ts';
import { findFreePort } from '../../src/local/port.ts';
import { NodeCommand } from '../../src/nodes/node-command.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { chromaCommand } from '../support/chroma-server.ts';
import { until } from '../support/until.ts';

const READS = 40;
const nothing = (): void => undefined;
const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing };

let dir: string;
let local: LocalCluster;
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
  local = await startLocalCluster({
    dataDir: join(dir, 'data'),
    nodes: 2,
    chroma: chromaCommand,
    logger: quiet,
  });
  const port = await findFreePort();
  url = `http://127.0.0.1:${port}`;
  environment = {
    PRIMARY_URL: local.nodes[0]!.url,
    REPLICA_URL: `${local.nodes[1]!.url}/`,
    DATABASE_URL: local.databaseUrl,
    PORT: String(port),
    HOST: '127.0.0.1',
    CHECK_INTERVAL: '30',
    FAILURE_THRESHOLD: '3',
    LOAD_BALANCE_STRATEGY: 'optimized_read_replica',
    READ_REPLICA_RATIO: '1',
    REQUEST_TIMEOUT: '2',
    WAL_ENABLED: 'true',
    WAL_SYNC_INTERVAL: '10',
    WAL_BATCH_SIZE: '2',
    WAL_HIGH_VOLUME_BATCH_SIZE: '2',
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
  expect(unified_wal.sync_interval_seconds).toBe(10);
  for (const name of ['CHECK_INTERVAL', 'FAILURE_THRESHOLD', 'INSTANCE_ROLE', 'WAL_SYNC_INTERVAL'])
    expect(output).toContain(`${name} does not do here what it does elsewhere`);
  // LOG_LEVEL info, the default, in JSON lines.
  expect(output).toMatch(/\{"level":30,/);
  expect(output).not.toMatch(/\{"level":20,/);
});

test('MAX_MEMORY_MB bounds request bodies', async () => {
  expect(await metric('polychrome_listener_body_bytes_limit')).toBe(64 * 1_048_576);
});

test('WAL_BATCH_SIZE bounds rounds, READ_REPLICA_RATIO sends reads to the replica', async () => {
  const api = new ChromaHttp(url);
  const id = await api.create('older');
  const writes = Array.from({ length: 40 }, (_each, n) =>
    api.records(id, 'upsert', { ids: [`r${n}`], embeddings: [[n, 1]] }),
  );
  await Promise.all(writes);
  // The replica may apply its last rounds between two looks.
  const isApplied = async (): Promise<boolean> =>
    ((await (await fetch(`${url}/status`)).json()) as { pending: number }).pending === 0;
  await until(isApplied, 'both nodes have applied the writes');
  const rounds = 'polychrome_apply_round_entries_';
  expect(await metric(`${rounds}count`)).toBeGreaterThan(20);
  expect(await metric(`${rounds}bucket`, 'le="2"')).toBe(await metric(`${rounds}count`));
  const reads = (node: string): Promise<number> =>
    metric('polychrome_node_call_duration_seconds_count', `node="${node}",kind="read"`);
  const before = [await reads('primary'), await reads('replica')] as const;
  for (let n = 0; n < READS; n++) await api.records(id, 'get', { ids: [`r${n}`] });
  expect((await reads('replica')) - before[1]).toBeGreaterThanOrEqual(READS);
  expect((await reads('primary')) - before[0]).toBeLessThan(READS / 2);
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
    const { status: code } = await api.records(id, 'get', { ids: ['x'] });
    expect(code).toBeGreaterThanOrEqual(500);
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
