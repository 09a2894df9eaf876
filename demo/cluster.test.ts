// The life of the cluster process, with small programs in the place of `polychrome up`.
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { StartupError } from '../src/errors.ts';
import { type ClusterOptions, startCluster } from './cluster.ts';

const HEALTHY = `
  const { mkdirSync } = require('node:fs');
  const { createServer } = require('node:http');
  const option = (name) => process.argv[process.argv.indexOf(name) + 1];
  mkdirSync(option('--data'));
  const about = { pid: process.pid, data: option('--data'), arguments: process.argv.slice(1), child: 0 };
  createServer((request, response) => response.end(JSON.stringify(about))).listen(Number(option('--port')), '127.0.0.1');
`;
// Ignores its orders, and has a child that does so too, in a process group of its own.
const STUBBORN = `${HEALTHY}
  process.on('SIGTERM', () => {});
  const { spawn } = require('node:child_process');
  const deaf = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)";
  const child = spawn(process.execPath, ['-e', deaf, option('--data')], { detached: true, stdio: 'inherit' });
  about.child = child.pid;
`;

function start(program: string, options: Partial<ClusterOptions> = {}) {
  return startCluster({
    command: [process.execPath, '-e', program],
    nodes: 3,
    signal: new AbortController().signal,
    onExit: () => {},
    ...options,
  });
}

const aboutSchema = z.object({
  pid: z.number(),
  data: z.string(),
  arguments: z.array(z.string()),
  child: z.number(),
});

async function about(endpoint: string) {
  return aboutSchema.parse(await (await fetch(endpoint)).json());
}

function isAlive(pid: number): boolean {
  try {
    // The dead whom nobody buries, as in a container without an init process, still take signals; their command
    // line is empty.
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('it is ready when healthy, and leaves neither process nor data', async () => {
  const onExit = vi.fn<(reason: StartupError) => void>();
  const cluster = await start(HEALTHY, { onExit });
  const { pid, data, arguments: given } = await about(cluster.endpoint);
  expect(given.slice(0, 2)).toEqual(['up', '--port']);
  expect(given.slice(-2)).toEqual(['--nodes', '3']);
  expect(existsSync(data)).toBe(true);
  await cluster.stop();
  await cluster.stop();
  expect(isAlive(pid)).toBe(false);
  expect(existsSync(data)).toBe(false);
  expect(onExit).not.toHaveBeenCalled();
});

test.runIf(process.platform === 'linux')('what ignores its orders is killed, children included', async () => {
  const cluster = await start(STUBBORN, { stopMsMax: 300 });
  const { pid, child, data } = await about(cluster.endpoint);
  expect(isAlive(child)).toBe(true);
  await cluster.stop();
  await vi.waitFor(() => expect([pid, child].filter(isAlive)).toEqual([]));
  expect(existsSync(data)).toBe(false);
});

test('a start that fails says what the program said last', async () => {
  const failing = start("console.error('the port is taken'); process.exitCode = 1");
  await expect(failing).rejects.toThrow(/stopped by itself \(exit code 1\).*\n {2}the port is taken/);
  await expect(start('', { command: ['/nonexistent/program'] })).rejects.toThrow(/ENOENT/);
});

test('a start that is interrupted leaves nothing', async () => {
  const interrupt = new AbortController();
  const folder = await mkdtemp(join(tmpdir(), 'interrupted-'));
  const file = join(folder, 'pid');
  const program = `require('node:fs').writeFileSync(${JSON.stringify(file)}, String(process.pid));
    setInterval(() => {}, 1000);`;
  const starting = start(program, { signal: interrupt.signal });
  const pid = await vi.waitFor(async () => Number((await readFile(file, 'utf8')) || expect.fail('not yet')), {
    timeout: 10_000,
  });
  interrupt.abort(new StartupError('Interrupted.'));
  await expect(starting).rejects.toThrow('Interrupted.');
  expect(isAlive(pid)).toBe(false);
  await rm(folder, { recursive: true });
});

test('an end nobody asked for is reported', async () => {
  const ended = Promise.withResolvers<StartupError>();
  const cluster = await start(HEALTHY, { onExit: ended.resolve });
  process.kill((await about(cluster.endpoint)).pid, 'SIGKILL');
  expect((await ended.promise).message).toMatch(/stopped by itself \(SIGKILL\)/);
  await cluster.stop();
});
