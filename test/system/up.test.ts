// The command line as a user runs it: the process, its output, its exit code.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { findFreePort } from '../../src/local/port.ts';
import { identityOf } from '../../src/local/process-identity.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const WAIT = { timeout: 40_000, interval: 20 };

interface Run {
  readonly pid: number;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<number | null>;
  stdout: string;
  stderr: string;
}

let folder: string;
let port: number;
const runs: Run[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'polychrome-up-'));
  port = await findFreePort();
});

afterEach(async () => {
  for (const { kill, ended } of runs.splice(0)) {
    kill('SIGTERM');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

test('starts, prints how to use it, stops in order and leaves no process', async () => {
  const up = polychrome('up', '--nodes', '2', '--port', String(port), '--data', join(folder, 'data'));
  await vi.waitUntil(() => up.stdout.includes('Ctrl-C stops everything'), WAIT);
  expect(up.stdout).toContain(`endpoint    http://127.0.0.1:${port}\n`);
  expect(up.stdout).toMatch(/node-2 {6}http:\/\/127\.0\.0\.1:\d+\n/);
  const pids = await nodePids();
  expect(pids).toHaveLength(2);
  expect(pids.every((pid) => identityOf(pid) !== null)).toBe(true);
  // The servers do not inherit the allocator settings of the gateway (cli/memory.ts).
  if (process.platform === 'linux') {
    expect([up.pid, ...pids].map(asksAllocator)).toEqual([true, ...pids.map(() => false)]);
  }
  up.kill('SIGINT');
  up.kill('SIGINT'); // as npm passes it on
  expect(await up.ended).toBe(0);
  expect(up.stderr).not.toContain('polychrome: '); // the gateway's own log lines are JSON
  expect(up.stdout).toMatch(/Stopping .*\nStopped\.\n$/);
  expect(pids.map(identityOf)).toEqual([null, null]);
});

test('reports in one sentence that the data directory is in use', async () => {
  const words = ['up', '--nodes', '1', '--port', String(port), '--data', join(folder, 'data')];
  const first = polychrome(...words);
  await vi.waitUntil(() => first.stdout.includes('Ctrl-C stops everything'), WAIT);
  const second = polychrome(...words);
  expect(await second.ended).toBe(1);
  expect(second.stderr).toMatch(
    /^polychrome: The data directory .* is in use by a running Polychrome \(process \d+\).*\n$/,
  );
});

test('reports a busy port in one sentence before it starts anything', async () => {
  const squatter = createServer().listen(port, '127.0.0.1');
  try {
    for (const [words, PORT] of [
      [['--port', String(port)], '1'],
      [[], String(port)],
    ] as const) {
      const up = polychromeWith({ PORT }, 'up', ...words, '--data', join(folder, 'data'));
      expect(await up.ended).toBe(1);
      expect(up.stderr).toMatch(
        new RegExp(`^polychrome: Port ${port} on 127.0.0.1 is in use by another program: .*\n$`),
      );
      expect(up.stdout).toBe('');
    }
  } finally {
    squatter.close();
  }
});

test('reports a foreign data directory in one sentence', async () => {
  writeFileSync(join(folder, 'thesis.txt'), '');
  const up = polychrome('up', '--port', String(port), '--data', folder);
  expect(await up.ended).toBe(1);
  expect(up.stderr).toMatch(/^polychrome: .* is not empty and not a Polychrome data directory .*\n$/);
});

test.each([
  [['up', '--nodes', '0'], 'It must be a whole number from 1 to 32.'],
  [['up', '--port', '80a'], 'It must be a whole number from 1 to 65535.'],
  [['up', '--nodse', '3'], "unknown option '--nodse'"],
  [['upp'], "unknown command 'upp'"],
])('refuses polychrome %j with the usage', async (words, sentence) => {
  const refused = polychrome(...words);
  expect(await refused.ended).toBe(1);
  expect(refused.stderr).toContain(sentence);
  expect(refused.stderr).toContain('Usage: polychrome');
});

test('prints a script that completes the options of every command', async () => {
  const completion = polychrome('completion', 'bash');
  expect([await completion.ended, completion.stderr]).toEqual([0, '']);
  expect(completion.stdout).toContain('--failover');
});

const polychrome = (...words: string[]): Run => polychromeWith({}, ...words);

function polychromeWith(settings: Readonly<Record<string, string>>, ...words: string[]): Run {
  const env = { ...process.env, ...settings };
  const child = spawn(process.execPath, [MAIN, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
  const run: Run = { pid: child.pid!, kill, ended, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => (run.stdout += String(data)));
  child.stderr.on('data', (data) => (run.stderr += String(data)));
  runs.push(run);
  return run;
}

const asksAllocator = (pid: number): boolean =>
  readFileSync(`/proc/${pid}/environ`, 'latin1').includes('MALLOC_MMAP_THRESHOLD_');

const statusSchema = z.object({ nodes: z.array(z.object({ pid: z.number() })) });

async function nodePids(): Promise<number[]> {
  const response = await fetch(`http://127.0.0.1:${port}/status`);
  return statusSchema.parse(await response.json()).nodes.map(({ pid }) => pid);
}
