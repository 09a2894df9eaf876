// A local cluster of real processes: PostgreSQL and Chroma servers that are killed, paused and orphaned.

import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { z } from 'zod';
import { type LocalCluster, startLocalCluster } from '../../src/local/cluster.ts';
import { PortTakenError } from '../../src/local/port.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { identityOf } from '../../src/local/process-identity.ts';
import { systemClock } from '../../src/util/clock.ts';
import { chromaCommand, releaseUnderTest } from '../support/chroma-server.ts';

const RUNNER = fileURLToPath(new URL('../support/run-local-cluster.ts', import.meta.url));
const STUBBORN = fileURLToPath(new URL('../support/stubborn-server.ts', import.meta.url));
const WAIT = { timeout: 20_000, interval: 20 };

let folder: string;
let dataDir: string;
const clusters: LocalCluster[] = [];
const runners: ChildProcessByStdio<null, Readable, Readable>[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polychrome-local-'));
  chmodSync(folder, 0o700); // as a checkout owned by root: other users may not enter
  dataDir = join(folder, 'data');
});

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  for (const runner of runners.splice(0)) await endRunner(runner);
  expect(processesOf(folder)).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

describe('a cluster', () => {
  test('starts, resumes its data on the same addresses, and leaves no process', async () => {
    const first = await start(2);
    expect(await addTenant(first.nodes[0]!.url, 'kept')).toBe(200);
    await query(first, 'create table kept (id int)');
    const addresses = [first.databaseUrl, ...first.nodes.map(({ url }) => url)];
    const pids = [first.postgres.pid()!, ...first.nodes.map((node) => node.pid()!)];
    await first.stop();
    expect(pids.map(identityOf)).toEqual([null, null, null]);

    const second = await start(); // as many nodes as before
    expect([second.databaseUrl, ...second.nodes.map(({ url }) => url)]).toEqual(addresses);
    expect((await fetch(`${second.nodes[0]!.url}/api/v2/tenants/kept`)).status).toBe(200);
    expect((await fetch(`${second.nodes[1]!.url}/api/v2/tenants/kept`)).status).toBe(404);
    await query(second, 'select * from kept');
  });

  test('runs a PostgreSQL that writes durably and requires the password', async () => {
    const cluster = await start(1);
    const fsync = await query(
      cluster,
      "select setting from pg_settings where name in ('fsync', 'synchronous_commit')",
    );
    expect(fsync).toEqual([{ setting: 'on' }, { setting: 'on' }]);
    const url = new URL(cluster.databaseUrl);
    url.password = 'guessed';
    const stranger = new Client({ connectionString: url.href });
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
  });

  test('assigns another port to a node whose port is in use', async () => {
    const first = await start(1);
    const port = Number(new URL(first.nodes[0]!.url).port);
    await first.stop();
    const squatter = createServer().listen(port, '127.0.0.1');
    try {
      const second = await start(1);
      expect(Number(new URL(second.nodes[0]!.url).port)).not.toBe(port);
      expect((await fetch(`${second.nodes[0]!.url}/api/v2/heartbeat`)).status).toBe(200);
    } finally {
      squatter.close();
    }
  });
});

describe('a child of the cluster:', () => {
  let home: string;
  let cluster: LocalCluster;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'polychrome-local-'));
    cluster = await startLocalCluster({
      dataDir: join(home, 'data'),
      nodes: 1,
      chroma: chromaCommand,
      logger: silent,
    });
  });
  afterAll(async () => {
    await cluster.stop();
    expect(processesOf(home)).toEqual([]);
    rmSync(home, { recursive: true, force: true });
  });

  test('node restarts at its address, with its data', async () => {
    const [node] = cluster.nodes;
    await addTenant(node!.url, 'kept');
    const before = node!.pid();
    cluster.killNode('node-1');
    await vi.waitUntil(() => node!.pid() !== null && node!.pid() !== before, WAIT);
    expect((await fetch(`${node!.url}/api/v2/tenants/kept`)).status).toBe(200);
  });

  test('PostgreSQL restarts at its address, with its data', async () => {
    await query(cluster, 'create table kept as select 7 as id');
    const before = cluster.postgres.pid();
    cluster.postgres.signal('SIGKILL');
    await vi.waitUntil(() => cluster.postgres.pid() !== null && cluster.postgres.pid() !== before, WAIT);
    expect(await query(cluster, 'select id from kept')).toEqual([{ id: 7 }]);
  });

  test('node stays stopped after stopNode, until startNode', async () => {
    await cluster.stopNode('node-1');
    expect(cluster.nodes[0]!.pid()).toBeNull();
    await expect(fetch(cluster.nodes[0]!.url)).rejects.toThrow();
    await cluster.startNode('node-1');
    expect((await fetch(`${cluster.nodes[0]!.url}/api/v2/heartbeat`)).status).toBe(200);
  });

  test('node responds again when it is resumed, and stops while it is paused', async () => {
    const heartbeat = `${cluster.nodes[0]!.url}/api/v2/heartbeat`;
    cluster.pauseNode('node-1');
    await expect(fetch(heartbeat, { signal: AbortSignal.timeout(300) })).rejects.toThrow('timeout');
    cluster.resumeNode('node-1');
    expect((await fetch(heartbeat)).status).toBe(200);
    cluster.pauseNode('node-1');
    await cluster.stop();
  });
});

describe('a data directory', () => {
  test('is reclaimed by the next start when its owner was killed, with all orphaned processes', async () => {
    const dead = run(dataDir, 2);
    const { pids } = await ready(dead);
    await kill(dead, 'SIGKILL');
    expect(pids.every((pid) => identityOf(pid) !== null)).toBe(true); // children survive their parent

    const reclaimed: number[] = [];
    const cluster = await startLocalCluster({
      dataDir,
      chroma: chromaCommand,
      logger: silent,
      onProgress: (progress) => progress.step === 'reclaimed' && reclaimed.push(progress.pid),
    });
    clusters.push(cluster);
    expect(new Set(reclaimed)).toEqual(new Set(pids));
    expect(pids.map(identityOf)).toEqual(pids.map(() => null));
  });

  test('starts when its PostgreSQL was killed and another process has the same pid', async () => {
    const dead = run(dataDir, 1);
    const { pids } = await ready(dead);
    await kill(dead, 'SIGKILL');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await vi.waitUntil(() => pids.every((pid) => identityOf(pid) === null), WAIT);
    const pidFile = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    const [, ...rest] = readFileSync(pidFile, 'utf8').split('\n');
    writeFileSync(pidFile, [bystander(), ...rest].join('\n'));
    const cluster = await start(1);
    expect(await query(cluster, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('is reclaimed when the record of the children is missing', async () => {
    const dead = run(dataDir, 1);
    const { pids } = await ready(dead);
    await kill(dead, 'SIGKILL');
    rmSync(join(dataDir, 'children.json'));
    await start(1);
    expect(pids.map(identityOf)).toEqual(pids.map(() => null));
  });

  test('is refused in one sentence while it is in use, without effect on its owner', async () => {
    const cluster = await start(1);
    const { code, stderr } = await outcome(run(dataDir, 1));
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        new RegExp(`^The data directory .* in use .*process ${process.pid}.*\n$`),
      ),
    });
    expect((await fetch(`${cluster.nodes[0]!.url}/api/v2/heartbeat`)).status).toBe(200);
  });

  test('is refused and left unchanged when it holds foreign files', async () => {
    writeFileSync(join(folder, 'thesis.txt'), 'x');
    const { code, stderr } = await outcome(run(folder, 1));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^.* is not empty and not a Polychrome data directory .*\n$/);
    expect(readdirSync(folder)).toEqual(['thesis.txt']);
  });

  test('is released by an orderly stop', async () => {
    const runner = run(dataDir, 1);
    const { pids } = await ready(runner);
    runner.kill('SIGTERM');
    expect((await outcome(runner)).code).toBe(0);
    expect(pids.map(identityOf)).toEqual([null, null]);
    expect(readdirSync(dataDir).filter((name) => /lock|children/.test(name))).toEqual([]);
  });

  test('is taken by one of several simultaneous starts; the others are refused', async () => {
    const starts = Array.from({ length: 4 }, () => run(dataDir, 1));
    const results = await Promise.all(
      starts.map((runner) =>
        Promise.race([ready(runner).then(() => 'ready'), outcome(runner).then(({ code }) => code)]),
      ),
    );
    expect(results.filter((result) => result === 'ready')).toHaveLength(1);
    expect(results.filter((result) => result === 1)).toHaveLength(3);
  });
});

test('kills a server that ignores SIGTERM, and its children', async () => {
  const chroma = `${process.execPath} ${STUBBORN}`;
  const cluster = await startLocalCluster({ dataDir, nodes: 1, chroma, logger: silent });
  clusters.push(cluster);
  await vi.waitUntil(() => processesOf(cluster.nodes[0]!.dataDir).length === 2, WAIT);
  await cluster.stop();
  expect(processesOf(folder)).toEqual([]);
});

test('reclaims the child of a killed wrapper script', async () => {
  const dead = run(dataDir, 1, `${process.execPath} ${STUBBORN}`);
  const { pids } = await ready(dead);
  await kill(dead, 'SIGKILL');
  process.kill(pids[1]!, 'SIGKILL'); // the wrapper alone, not its child
  await vi.waitUntil(() => identityOf(pids[1]!) === null, WAIT);
  await (await start(1)).stop();
  expect(processesOf(folder)).toEqual([]);
});

test('leaves no process when the start is aborted', async () => {
  const giveUp = new AbortController();
  const started = startLocalCluster({
    dataDir,
    nodes: 2,
    chroma: chromaCommand,
    logger: silent,
    signal: giveUp.signal,
    onProgress: ({ step }) => step === 'ready' && giveUp.abort(),
  });
  await expect(started).rejects.toThrow('aborted');
});

test('reports the output of a child that cannot start, and stops the others', async () => {
  const command = `${process.execPath} -e "console.log('start failed'); process.exit(3)" --`;
  const started = startLocalCluster({ dataDir, nodes: 2, chroma: command, logger: silent });
  await expect(started).rejects.toThrow(
    /^node-\d ended while it started \(exit code 3\): start failed; see .*\.log$/,
  );
});

test('starts the others when the files of a node are damaged, reports it, and starts it on an empty folder', async () => {
  const first = await start(2);
  const [damaged, other] = first.nodes.map(({ url }) => url) as [string, string];
  await first.stop();
  writeFileSync(join(first.nodes[0]!.dataDir, 'chroma.sqlite3'), 'no database at all'.repeat(1_000));
  const reported = Promise.withResolvers<string>();
  const second = await startLocalCluster({
    dataDir,
    chroma: chromaCommand,
    logger: silent,
    restartPolicy: {
      delayMsMin: 10,
      delayMsMax: 20,
      stableAfterMs: 2_000,
      quickExitsMax: 2,
      isEndless: true,
    },
    onNodeFailing: (id, reason) => reported.resolve(`${id}: ${reason}`),
  });
  clusters.push(second);
  const heartbeat = async (url: string): Promise<number> => (await fetch(`${url}/api/v2/heartbeat`)).status;
  expect(await heartbeat(other)).toBe(200);
  expect(await reported.promise).toMatch(/^node-1: node-1 does not start: file is not a database; see /);
  await second.resetNode('node-1');
  expect(await heartbeat(damaged)).toBe(200);
});

test('names the port of a Chroma server that is in use', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await vi.waitUntil(() => squatter.listening, WAIT);
  const address = squatter.address();
  const port = typeof address === 'object' ? address!.port : 0;
  try {
    const started = startChroma({
      name: 'node-1',
      release: await releaseUnderTest(),
      path: dataDir,
      port,
      logFile: join(folder, 'node-1.log'),
      clock: systemClock,
    });
    await expect(started).rejects.toThrow(PortTakenError);
    await expect(started).rejects.toThrow(`Port ${port}, meant for node-1`);
  } finally {
    squatter.close();
  }
});

const silent = { info: () => {}, warn: () => {}, error: () => {} };

async function start(nodes?: number): Promise<LocalCluster> {
  const cluster = await startLocalCluster({ dataDir, nodes, chroma: chromaCommand, logger: silent });
  clusters.push(cluster);
  return cluster;
}

async function query(cluster: LocalCluster, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: cluster.databaseUrl });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function addTenant(url: string, name: string): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ name });
  return (await fetch(`${url}/api/v2/tenants`, { method: 'POST', headers, body })).status;
}

function run(
  directory: string,
  nodes: number,
  chroma = chromaCommand ?? '',
): ChildProcessByStdio<null, Readable, Readable> {
  const runner = spawn(process.execPath, [RUNNER, directory, String(nodes), chroma], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  runners.push(runner);
  return runner;
}

const readySchema = z.object({ pids: z.array(z.number()) });

async function ready(runner: ChildProcessByStdio<null, Readable, Readable>): Promise<{ pids: number[] }> {
  const line = await new Promise<string>((resolve) =>
    runner.stdout.once('data', (data) => resolve(String(data))),
  );
  return readySchema.parse(JSON.parse(line));
}

async function outcome(
  runner: ChildProcessByStdio<null, Readable, Readable>,
): Promise<{ code: number | null; stderr: string }> {
  let stderr = '';
  runner.stderr.on('data', (data) => (stderr += String(data)));
  const code = await new Promise<number | null>((resolve) => runner.once('close', resolve));
  return { code, stderr };
}

async function kill(
  runner: ChildProcessByStdio<null, Readable, Readable>,
  signal: NodeJS.Signals,
): Promise<void> {
  const exited = new Promise((resolve) => runner.once('exit', resolve));
  runner.kill(signal);
  await exited;
}

async function endRunner(runner: ChildProcessByStdio<null, Readable, Readable>): Promise<void> {
  if (runner.exitCode === null && runner.signalCode === null) await kill(runner, 'SIGTERM');
}

/** The pid of a process outside of the cluster, run by the user of PostgreSQL. */
function bystander(): number {
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const child = spawn('sleep', ['600'], { stdio: 'ignore', cwd: '/', ...nobody });
  onTestFinished(() => void child.kill());
  return child.pid!;
}

/** The command lines of all processes that name the folder. */
function processesOf(directory: string): string[] {
  const list = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout.split('\n');
  return list.filter((line) => line.includes(directory));
}
