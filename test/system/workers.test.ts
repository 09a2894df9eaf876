// One `polychrome serve` with several workers: they share one port, and clients cannot tell.

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFreePort, isPortFree } from '../../src/local/port.ts';
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
  do adminPort = await findFreePort();
  while (!(await isPortFree(adminPort + 1)));
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

const adminUrls = (): string[] => [adminPort, adminPort + 1].map((port) => `http://127.0.0.1:${port}`);

/** Resolves when each worker serves, as operators see it on its own port. */
async function bothServe(): Promise<void> {
  const isReady = async (url: string): Promise<boolean> =>
    fetch(`${url}/ready`).then(
      ({ status }) => status === 200,
      () => false,
    );
  const areReady = async (): Promise<boolean> => (await Promise.all(adminUrls().map(isReady))).every(Boolean);
  await until(areReady, 'both workers serve');
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
    } catch (error) {
      // The connection may end with its worker; a new one is never refused.
      const { code = String(error) } = (error as { cause?: { code?: string } }).cause ?? {};
      if (!['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(code)) faults.push(`no response: ${code}`);
    }
  }
  return faults;
}

const KILLS = 4;
const NAMES = Array.from({ length: 8 }, (_, n) => `r${n}`);

test('clients of several connections read their own writes through any worker', async () => {
  const id = await serve.api.create('shared');
  await bothServe();
  const found = await Promise.all(NAMES.map((name) => traffic(id, name, (n) => n <= 30)));
  expect(found.flat()).toEqual([]);
  const statuses = await Promise.all(adminUrls().map(async (url) => fetch(`${url}/status`)));
  const states = (await Promise.all(statuses.map((response) => response.json()))) as { gateways: object[] }[];
  expect(states.map(({ gateways }) => gateways.length)).toEqual([2, 2]);
  for (const worker of [1, 2]) expect(serve.output).toContain(`"worker":${worker}`);
});

test('a worker that is killed is replaced; meanwhile no request is refused or left without a response', async () => {
  const id = await serve.api.create('killed');
  await bothServe();
  let isOver = false;
  const running = Promise.all(NAMES.map((name) => traffic(id, name, () => !isOver)));
  // Several times: clients connect again at once, some of them before the parent knows that the worker is gone.
  for (let kills = 0; kills < KILLS; kills++) {
    const [victim, other] = workers();
    process.kill(victim!, 'SIGKILL');
    await until(async () => workers().length === 2 && !workers().includes(victim!), 'a new worker runs');
    expect(workers()).toContain(other);
    await bothServe();
  }
  isOver = true;
  const faults = await Promise.race([running, pause(30_000, ['a request has no response'])]);
  expect(faults.flat()).toEqual([]);
});

test('SIGTERM stops every worker in order', async () => {
  const pids = workers();
  await serve.stop('SIGTERM');
  expect(serve.exitCode).toBe(0);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
});
