// The unchanged Python clients of the v1 API, and of the v2 API before 1.0, get from Polychrome what they get from the
// server of their own release. Errors differ in their words, as between releases of Chroma.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findFreePort } from '../../../src/local/port.ts';
import { TestCluster } from '../../support/cluster.ts';
import { until } from '../../support/until.ts';
import { stepsOf, type StepOutcome } from './steps.ts';

const VERSIONS = ['0.4.24', '0.5.5', '0.5.15', '0.6.3'] as const;

class OlderServer {
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(url: string, child: ChildProcess, folder: string) {
    this.url = url;
    this.#process = child;
    this.#folder = folder;
  }

  static async start(python: string): Promise<OlderServer> {
    const folder = await mkdtemp(join(tmpdir(), 'polychrome-older-'));
    const port = await findFreePort();
    const chroma = join(dirname(python), 'chroma');
    const args = ['run', '--path', join(folder, 'data'), '--port', String(port)];
    const env = { ...process.env, ANONYMIZED_TELEMETRY: 'False' };
    // It writes its log into the working directory.
    const child = spawn(chroma, args, { cwd: folder, env, stdio: 'ignore' });
    const server = new OlderServer(`http://127.0.0.1:${port}`, child, folder);
    await until(async () => {
      const response = await fetch(`${server.url}/api/v1/heartbeat`).catch(() => null);
      return response !== null;
    }, 'the older server responds');
    return server;
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Without the words of errors and the numbers of ids. */
function outcomesOf(steps: readonly StepOutcome[]): object[] {
  return steps.map(({ step, result, error }) => ({
    step,
    ...(error === undefined ? { result } : { failed: true }),
  }));
}

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2 });
});
afterAll(() => cluster?.stop());

describe.each(VERSIONS)('chromadb %s', (version) => {
  const python = process.env[`PYTHON_CHROMADB_${version.replaceAll('.', '_')}`] ?? '';
  let server: OlderServer;
  beforeAll(async () => {
    server = await OlderServer.start(python);
  });
  afterAll(() => server?.stop());

  test('gets the same results as from the server of its release', async () => {
    const theirs = await stepsOf({ python, words: ['older_client.py'] }, server.url);
    const ours = await stepsOf({ python, words: ['older_client.py'] }, cluster.url);
    // A script that fails everywhere or stops early would give equal results too.
    expect(theirs.filter(({ error }) => error === undefined).length).toBeGreaterThan(35);
    expect(outcomesOf(ours)).toEqual(outcomesOf(theirs));
  });
});
