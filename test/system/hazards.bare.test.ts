// Each hazard, on a bare server: proof that what Polychrome refuses is worth refusing. When a release of Chroma mends
// one, its test fails here, and the table is to be brought up to date.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Capabilities } from '../../src/chroma/record-call.ts';
import { isRefusal, scanRecordCall } from '../../src/chroma/scanner.ts';
import { COLLECTIONS, HAZARDS, type HazardRequest, type HazardSubject } from '../support/hazards.ts';

const require = createRequire(import.meta.url);
const PACKAGE = `chroma-1.0.5-${process.platform}-${process.arch}`;

const CAPABILITIES: Capabilities = {
  maxBatchSize: 5461,
  base64Embeddings: true,
  metadataArrays: false,
  deleteLimit: false,
  schema: false,
};

class BareServer implements HazardSubject {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #base: string;
  #collection = '';

  private constructor(process: ChildProcess, folder: string, port: number) {
    this.#process = process;
    this.#folder = folder;
    this.#base = `http://127.0.0.1:${port}/api/v2`;
  }

  /** A new server with an empty collection. */
  static async start(): Promise<BareServer> {
    const folder = await mkdtemp(join(tmpdir(), 'polychrome-hazard-'));
    const port = await freePort();
    const module = JSON.stringify(require.resolve(PACKAGE));
    const script = `require(${module}).cli(["chroma","run","--path",${JSON.stringify(folder)},"--port","${port}"])`;
    const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    const server = new BareServer(child, folder, port);
    while ((await server.request({ method: 'GET', path: '/heartbeat' })).status !== 200) {
      if (child.exitCode !== null) throw new Error(`The server ended with ${child.exitCode}.`);
      await delay(20);
    }
    const body = '{"name":"hazard"}';
    const created = await server.request({ method: 'POST', path: COLLECTIONS, body });
    const { id }: { id: string } = JSON.parse(created.text);
    server.#collection = id;
    return server;
  }

  async request({ method, path, body }: HazardRequest): Promise<{ status: number; text: string }> {
    const url = this.#base + path.replace('{id}', this.#collection);
    const headers = { 'content-type': 'application/json' };
    try {
      const response = await fetch(url, { method, headers, body: body ?? null });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    if (this.#process.exitCode === null && this.#process.kill('SIGKILL')) await ended;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  listener.close();
  await once(listener, 'close');
  if (address === null || typeof address === 'string') throw new Error('No port was assigned.');
  return address.port;
}

function installed(): boolean {
  try {
    return require.resolve(PACKAGE) !== '';
  } catch {
    return false;
  }
}

describe.skipIf(!installed())('on a bare Chroma 1.0.5', () => {
  let server: BareServer | null = null;
  afterEach(async () => {
    await server?.stop();
    server = null;
  });

  test.each(HAZARDS.filter((hazard) => hazard.shownBy(CAPABILITIES)))(
    '$name',
    async ({ setup, hostile, harmed }) => {
      server = await BareServer.start();
      for (const request of setup) expect((await server.request(request)).status).toBeLessThan(300);
      expect(await harmed(server)).toBe(false);
      // The check before must not have changed what the hostile request meets: start anew.
      await server.stop();
      server = await BareServer.start();
      for (const request of setup) await server.request(request);
      await server.request(hostile);
      expect(await harmed(server)).toBe(true);
    },
  );
});

describe('the scanner refuses', () => {
  const writes = HAZARDS.filter(({ hostile }) => /\/(add|upsert|update|delete)$/.test(hostile.path));
  test.each(writes)('$name', ({ hostile }) => {
    const kind = (['add', 'upsert', 'update', 'delete'] as const).find((each) =>
      hostile.path.endsWith(`/${each}`),
    );
    const result = scanRecordCall(kind ?? 'add', Buffer.from(hostile.body ?? ''), CAPABILITIES);
    expect(isRefusal(result)).toBe(true);
  });
});
