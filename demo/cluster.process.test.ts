// Starts small programs in place of `polychrome up`.
import { existsSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { identityOf } from '../src/local/process-identity.ts';
import { killServer, notReady, startCluster, waitForNodes } from './cluster.ts';

const HEALTHY = `
  const { createServer } = require('node:http');
  const { spawn } = require('node:child_process');
  const option = (name) => process.argv[process.argv.indexOf(name) + 1];
  const server = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const node = { id: 'node-1', url: option('--data'), role: 'primary', state: 'serving', checkpoint: 7, pid: server.pid };
  createServer((request, response) => response.end(JSON.stringify({ pid: process.pid, head: 7, nodes: [node] })))
    .listen(Number(option('--port')), '127.0.0.1');
`;
const processes = z.object({
  pid: z.number(),
  nodes: z.tuple([z.object({ pid: z.number(), url: z.string() })]),
});

async function start(program: string, run = new AbortController()) {
  const cluster = await startCluster(['-e', program, '--'], 3, run);
  const { pid, nodes } = processes.parse(await (await fetch(cluster.endpoint)).json());
  return { ...cluster, run, pid, server: nodes[0].pid, data: nodes[0].url };
}

test.each([
  ['exits by SIGTERM', false],
  ['was killed', true],
])('stops all processes and removes the data when the cluster %s', async (_case, wasKilled) => {
  const { pid, server, data, stop } = await start(HEALTHY);
  if (wasKilled) {
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(identityOf(pid)).toBeNull(), { timeout: 10_000 });
  }
  await stop();
  expect([identityOf(pid), identityOf(server)]).toEqual([null, null]);
  expect([existsSync(data), existsSync(`${data}.log`)]).toEqual([false, false]);
});

test('throws the output of the program when the cluster exits at its start', async () => {
  const failing = start("console.error('the port is taken'); process.exitCode = 1");
  await expect(failing).rejects.toThrow(/exited by itself \(exit code 1\)\.\nthe port is taken$/);
});

test('throws when the run is aborted at the start', async () => {
  const run = new AbortController();
  const starting = startCluster(['-e', 'setInterval(() => {}, 1000)', '--'], 3, run);
  run.abort(new Error('Interrupted.'));
  await expect(starting).rejects.toThrow('Interrupted.');
});

test('aborts the run when the cluster exits by itself', async () => {
  const { run, pid, stop } = await start(HEALTHY);
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(run.signal.reason).toMatchObject({ message: /SIGKILL/ }), {
    timeout: 10_000,
  });
  await stop();
});

test('kills the server of the role, and does not count the killed process as ready', async () => {
  const { endpoint, server, stop } = await start(HEALTHY);
  await expect(killServer(endpoint, 'replica')).rejects.toThrow(/No replica/);
  await waitForNodes(endpoint, 0, new AbortController().signal);
  expect(await killServer(endpoint, 'primary')).toContain(`kill -9 ${server}`);
  const nodes = [
    { id: 'n', url: '', role: 'primary' as const, state: 'serving', checkpoint: 7, pid: server },
  ];
  expect(notReady({ head: 7, nodes }, 0)).toBe('n serving at 7 of 7');
  await stop();
});

test.each([
  [null, 'serving', 7, 0],
  [null, 'serving', 5, 2],
  ['n serving at 6 of 7', 'serving', 6, 0],
  ['n catching_up at 7 of 7', 'catching_up', 7, 0],
])(
  'reports %s for a node in state %s at checkpoint %d when the lag may be %d',
  (expected, state, checkpoint, lagMax) => {
    const node = { id: 'n', url: '', role: 'replica' as const, state, checkpoint, pid: 2 ** 30 };
    expect(notReady({ head: 7, nodes: [node] }, lagMax)).toBe(expected);
    expect(notReady({ head: 7, nodes: [] }, lagMax)).toBe('no nodes');
  },
);
