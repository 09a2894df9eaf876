// The two sides, started: Polychrome with two nodes, and one bare server of the same release.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/config.ts';
import { type Gateway, startGateway } from '../../src/app/gateway.ts';
import { findChromaRelease } from '../../src/local/chroma-release.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { startLocalCluster } from '../../src/local/cluster.ts';
import { openDataDirectory } from '../../src/local/data-directory.ts';
import { findFreePort } from '../../src/local/port.ts';
import { sleep, systemClock } from '../../src/util/clock.ts';
import { copyPostgresTemplate } from '../support/postgres-template.ts';

export interface Servers {
  /** Polychrome. */
  readonly a: string;
  /** One bare server. */
  readonly b: string;
  /** For people: what runs on both sides. */
  readonly release: string;
  /** Of the servers behind Polychrome, in their order. */
  nodePids(): readonly (number | null)[];
  /** Ends the bare server, whatever it does, and starts it again on the same data and address. */
  restartBare(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServersOptions {
  /** A command that starts Chroma (see src/local/chroma-release.ts); default: the newest installed that loads. */
  readonly chroma?: string | undefined;
}

const silent = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

type Stop = () => Promise<unknown>;

/** Starts both sides on data of their own, which `stop` removes; nothing is left running when it fails. */
export async function startServers({ chroma }: ServersOptions = {}): Promise<Servers> {
  const dir = await mkdtemp(join(tmpdir(), 'polychrome-differential-'));
  const started: Stop[] = [() => rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })];
  const stop = async (): Promise<void> => {
    for (let last = started.pop(); last !== undefined; last = started.pop()) await last();
  };
  try {
    const [{ url: a, nodePids }, { url: b, restart: restartBare }] = await Promise.all([
      startPolychrome(dir, chroma, started),
      startBare(dir, chroma, started),
    ]);
    return { a, b, release: (await findChromaRelease(chroma)).name, nodePids, restartBare, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startPolychrome(
  dir: string,
  chroma: string | undefined,
  started: Stop[],
): Promise<{ readonly url: string; readonly nodePids: Servers['nodePids'] }> {
  const dataDir = join(dir, 'cluster');
  await copyPostgresTemplate(openDataDirectory(dataDir).postgresFolder);
  const local = await startLocalCluster({ dataDir, nodes: 2, chroma, logger: silent });
  started.push(() => local.stop());
  const nodes = local.nodes.map(({ id, url }) => `${id}=${url}`).join(',');
  const gateway = await startGateway(
    loadConfig({
      DATABASE_URL: local.databaseUrl,
      NODES: nodes,
      HOST: '127.0.0.1',
      PORT: '0',
      LOG_LEVEL: 'silent',
    }),
  );
  started.push(() => gateway.stop());
  await readyInTime(gateway);
  return { url: gateway.url, nodePids: () => local.nodes.map((node) => node.pid()) };
}

// Of the hook's 60 s: later, and nobody would stop what was started.
const READY_MS_MAX = 30_000;

async function readyInTime(gateway: Gateway): Promise<void> {
  const late = new AbortController();
  const tooLate = sleep(systemClock, READY_MS_MAX, late.signal).then(() => {
    if (!late.signal.aborted) throw new Error(`the gateway is not ready after ${READY_MS_MAX / 1_000} s`);
  });
  await Promise.race([gateway.ready(), tooLate]);
  late.abort();
}

async function startBare(
  dir: string,
  chroma: string | undefined,
  started: Stop[],
): Promise<{ readonly url: string; readonly restart: Servers['restartBare'] }> {
  const port = await findFreePort();
  const release = await findChromaRelease(chroma);
  const start = (): ReturnType<typeof startChroma> =>
    startChroma({
      name: 'the bare server',
      release,
      path: join(dir, 'bare'),
      port,
      logFile: join(dir, 'bare.log'),
      clock: systemClock,
    });
  let bare = await start();
  started.push(() => bare.stop());
  const restart = async (): Promise<void> => {
    bare.signal('SIGKILL');
    await bare.stop();
    bare = await start();
  };
  return { url: `http://127.0.0.1:${port}`, restart };
}
