// One `polychrome serve` with several workers: they share one port, and clients cannot tell.

import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFreePort } from '../../src/local/port.ts';
import { TestCluster } from '../support/cluster.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { until } from '../support/until.ts';

let cluster: TestCluster;
let serve: GatewayProcess;
let adminPort: number;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2 });
  await cluster.stopGateway();
  // The port after it is the second worker's.
  adminPort = await findFreePort();
  const settings = { ADMIN_PORT: String(adminPort), LOG_LEVEL: 'info' };
  serve = await GatewayProcess.start(
    { ...cluster.environment(), ...settings },
    {
      options: ['--workers', '2'],
    },
  );
});
afterAll(async () => {
  await serve.stop('SIGKILL');
  await cluster.stop();
});

const workers = (): number[] =>
  readFileSync(`/proc/${serve.pid}/task/${serve.pid}/children`, 'utf8').trim().split(' ').map(Number);

/** Whether the worker that a new connection reaches leads. */
function reachesLeader(): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const sent = request(`${serve.url}/status`, { agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += String(chunk)));
      response.on('end', () => resolve((JSON.parse(text) as { leader: string | null }).leader !== null));
    });
    sent.on('error', reject).end();
  });
}

/** Resolves when connections reach two workers: the one that leads, and the other. */
async function bothServe(): Promise<void> {
  const seen = new Set<boolean>();
  await until(async () => seen.add(await reachesLeader()).size === 2, 'both workers serve');
}

/** A client writes and reads its own record; returns what broke a promise. */
async function traffic(id: string, record: string, goesOn: (n: number) => boolean): Promise<string[]> {
  const { api } = serve;
  const faults: string[] = [];
  for (let n = 1; goesOn(n); n++) {
    const body = { ids: [record], embeddings: [[n, 1]], documents: [`v${n}`] };
    try {
      const written = await api.records(id, 'upsert', body);
      if (written.status !== 200) faults.push(`write: ${written.status} ${written.text}`);
      const level: Record<string, string> = n % 2 === 0 ? { 'x-polychrome-consistency': 'session' } : {};
      const read = await api.records(id, 'get', { ids: [record] }, level);
      if (!read.text.includes(`"v${n}"`)) faults.push(`read after v${n}: ${read.status} ${read.text}`);
    } catch {
      // The connection ended with its worker.
    }
  }
  return faults;
}

const NAMES = Array.from({ length: 8 }, (_, n) => `r${n}`);

test('clients of several connections read their own writes through any worker', async () => {
  const id = await serve.api.create('shared');
  await bothServe();
  const found = await Promise.all(NAMES.map((name) => traffic(id, name, (n) => n <= 30)));
  expect(found.flat()).toEqual([]);
  const ports = [adminPort, adminPort + 1];
  const statuses = await Promise.all(ports.map(async (port) => fetch(`http://127.0.0.1:${port}/status`)));
  const states = (await Promise.all(statuses.map((response) => response.json()))) as { gateways: object[] }[];
  expect(states.map(({ gateways }) => gateways.length)).toEqual([2, 2]);
  for (const worker of [1, 2]) expect(serve.output).toContain(`"worker":${worker}`);
});

test('a worker that is killed is replaced, and no request is refused meanwhile', async () => {
  const id = await serve.api.create('killed');
  await bothServe();
  const [victim, other] = workers();
  let isOver = false;
  const running = Promise.all(NAMES.map((name) => traffic(id, name, () => !isOver)));
  process.kill(victim!, 'SIGKILL');
  await until(async () => workers().length === 2 && !workers().includes(victim!), 'a new worker runs');
  expect(workers()).toContain(other);
  await bothServe();
  isOver = true;
  expect((await running).flat()).toEqual([]);
});

test('SIGTERM stops every worker in order', async () => {
  const pids = workers();
  await serve.stop('SIGTERM');
  expect(serve.exitCode).toBe(0);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
});
