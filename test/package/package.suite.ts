// The package as users get it: packed, installed into an empty folder, and started.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFreePort } from '../../src/local/port.ts';
import { until } from '../support/until.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const INSTALL = ['install', '--no-audit', '--no-fund', '--prefer-offline'];
const execute = promisify(execFile);

let folder: string;
let entry: string;
beforeAll(async () => {
  // PostgreSQL, when root starts it, runs as a user of its own and must reach its files.
  folder = await mkdtemp(join(tmpdir(), 'polychrome-package-'));
  await execute('chmod', ['755', folder]);
  await execute('npm', ['pack', '--pack-destination', folder], { cwd: ROOT });
  const tarball = (await readdir(folder)).find((name) => /^polychrome-db-.*\.tgz$/.test(name));
  await writeFile(join(folder, 'package.json'), '{"private":true}');
  await execute('npm', [...INSTALL, `./${tarball}`], { cwd: folder });
  entry = join(folder, 'node_modules', '.bin', 'polychrome');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly output: string;
}

async function run(node: string, args: readonly string[]): Promise<Ended> {
  try {
    const { stdout } = await execute(node, [...args]);
    return { code: 0, output: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, output: stderr };
  }
}

/** The Node.js on the path that is too old for Polychrome; null when there is none. */
async function olderNode(): Promise<string | null> {
  const folders = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((path) => !path.includes('node_modules'));
  for (const path of folders) {
    const { output } = await run(join(path, 'node'), ['-p', 'process.versions.node']).catch(() => ({
      output: '',
    }));
    if (/^\d+\./.test(output) && Number(output.split('.')[0]) < 24) return join(path, 'node');
  }
  return null;
}

test('states its version', async () => {
  expect(await run(process.execPath, [entry, '--version'])).toEqual({ code: 0, output: '0.1.0\n' });
});

test('refuses an older Node.js in one sentence', async () => {
  const refused = {
    code: 1,
    output: expect.stringMatching(/^polychrome: Node\.js 24 or later is needed; .*\n$/),
  };
  const pretended = `data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'18.1.0'}})`;
  expect(await run(process.execPath, ['--import', pretended, entry, 'up'])).toEqual(refused);
  const older = await olderNode();
  if (older !== null) expect(await run(older, [entry, 'up'])).toEqual(refused);
});

test('runs a cluster in an empty folder', async () => {
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [entry, 'up', '--nodes', '2', '--port', String(port)], {
    cwd: folder,
    stdio: 'ignore',
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  try {
    await until(async () => (await fetch(`${url}/health`)).ok, 'the cluster is ready', 60_000);
    const created = await fetch(`${url}/api/v1/collections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"name":"packed"}',
    });
    expect(created.status).toBe(200);
    const page = await (await fetch(`${url}/ui/`)).text();
    const script = /src="\.\/(assets\/[\w.-]+\.js)"/.exec(page)?.[1];
    expect((await fetch(`${url}/ui/${script}`)).status).toBe(200);
  } finally {
    child.kill('SIGTERM');
  }
  expect(await exited).toBe(0);
});
