// Benchmark targets: separate processes that all run the same release of Chroma.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StartupError } from '../src/errors.ts';
import { startChroma } from '../src/local/chroma.ts';
import { type ChromaRelease, findChromaRelease } from '../src/local/chroma-release.ts';
import { type Child, spawnChild } from '../src/local/child.ts';
import { findFreePort } from '../src/local/port.ts';
import { systemClock } from '../src/util/clock.ts';
import { Server } from './server.ts';

export const TARGETS = {
  direct: 'a bare Chroma server',
  ceiling: 'the same bare server with 64 operations per call: the limit of any front end for one server',
  haproxy: 'HAProxy in front of a bare server: the cost of forwarding',
  polychrome1: 'Polychrome with one node',
  polychrome3: 'Polychrome with three nodes',
} as const;
export type TargetName = keyof typeof TARGETS;
export const TARGET_NAMES: readonly TargetName[] = [
  'direct',
  'ceiling',
  'haproxy',
  'polychrome1',
  'polychrome3',
];

export interface Target {
  readonly name: TargetName;
  readonly server: Server;
  /** Operations per call where the workload allows batching: 64 for the ceiling, otherwise 1. */
  readonly batch: number;
}

const CEILING_BATCH = 64;
const HOST = '127.0.0.1';
/** Covers creating the PostgreSQL cluster and starting three servers on a busy machine. */
const READY_TIMEOUT_MS = 180_000;
const READY_POLL_MS = 50;

/** Starts the targets and stops every process it started. */
export class Fleet {
  readonly #dir = mkdtempSync(join(tmpdir(), 'polychrome-bench-'));
  readonly #children: Child[] = [];
  readonly targets: Target[] = [];
  #release: ChromaRelease | undefined;

  constructor() {
    // Covers an exit without `stop`: children have process groups of their own and would survive.
    process.on('exit', () => this.#children.forEach((child) => child.signal('SIGTERM')));
  }

  /** For example "Chroma 1.0.5". */
  get releaseName(): string {
    return this.#release?.name ?? 'none';
  }

  /** Starts the targets one after another; throws StartupError when one fails to start. */
  async start(names: readonly TargetName[], onStart: (name: TargetName) => void): Promise<void> {
    if (names.includes('haproxy')) findHAProxy();
    this.#release = await findChromaRelease(process.env['CHROMA_COMMAND']);
    for (const name of names) {
      onStart(name);
      this.targets.push({
        name,
        server: await this.#start(name),
        batch: name === 'ceiling' ? CEILING_BATCH : 1,
      });
    }
  }

  /** Stops all processes in reverse order, then removes their data. */
  async stop(): Promise<void> {
    for (const child of this.#children.splice(0).toReversed()) await child.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #start(name: TargetName): Promise<Server> {
    switch (name) {
      case 'direct':
        return this.#bare(name);
      case 'ceiling':
        return this.targets.find((target) => target.name === 'direct')?.server ?? this.#bare(name);
      case 'haproxy':
        return this.#haproxy();
      case 'polychrome1':
        return this.#polychrome(name, 1);
      case 'polychrome3':
        return this.#polychrome(name, 3);
      default:
        return name satisfies never;
    }
  }

  async #bare(name: string): Promise<Server> {
    const port = await findFreePort();
    const child = await startChroma({
      name,
      release: this.#release!,
      path: join(this.#dir, name),
      port,
      logFile: join(this.#dir, `${name}.log`),
      clock: systemClock,
    });
    this.#children.push(child);
    return new Server({ address: { host: HOST, port }, stop: () => child.stop() });
  }

  async #haproxy(): Promise<Server> {
    const bare = await this.#bare('behind-haproxy');
    const port = await findFreePort();
    const file = join(this.#dir, 'haproxy.cfg');
    writeFileSync(file, haproxyConfiguration(port, bare.address.port));
    const child = await this.#spawn('haproxy', findHAProxy(), ['-db', '-f', file]);
    const server = new Server({ address: { host: HOST, port }, stop: () => child.stop() });
    await untilResponding(child, server, '/api/v2/heartbeat');
    return server;
  }

  async #polychrome(name: TargetName, nodes: number): Promise<Server> {
    const port = await findFreePort();
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
    const options = ['--nodes', String(nodes), '--port', String(port), '--data', join(this.#dir, name)];
    const child = await this.#spawn(name, process.execPath, [main, 'up', ...options]);
    const server = new Server({
      address: { host: HOST, port },
      gatewayPid: child.pid,
      stop: () => child.stop(),
    });
    await untilResponding(child, server, '/health');
    return server;
  }

  async #spawn(name: string, command: string, args: readonly string[]): Promise<Child> {
    mkdirSync(this.#dir, { recursive: true });
    const child = await spawnChild({
      name,
      command,
      args,
      cwd: this.#dir,
      env: process.env,
      logFile: join(this.#dir, `${name}.log`),
      // Time for Polychrome to stop its gateway, nodes and PostgreSQL; HAProxy stops at once.
      stopSequence: [{ signal: 'SIGTERM', waitMs: 40_000 }],
      clock: systemClock,
    });
    this.#children.push(child);
    return child;
  }
}

async function untilResponding(child: Child, server: Server, path: string): Promise<void> {
  let hasExited = false;
  void child.exited.then(() => (hasExited = true));
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const failure = await server.request('GET', path).then(
      () => undefined,
      (error: Error) => error,
    );
    if (failure === undefined) return;
    if (hasExited) throw new StartupError(`A target exited during startup:\n${child.output().trimEnd()}`);
    if (performance.now() > deadline) {
      throw new StartupError(
        `A target did not respond to ${path} within ${READY_TIMEOUT_MS / 1_000} s: ${failure.message}\n${child.output().trimEnd()}`,
      );
    }
    await wait(READY_POLL_MS);
  }
}

// Keep-alive on both sides, as HAProxy's manual recommends; limits above any measured load.
function haproxyConfiguration(port: number, serverPort: number): string {
  return `global
  maxconn 2000
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 120s
  timeout server 120s
frontend bench
  bind ${HOST}:${port}
  default_backend chroma
backend chroma
  server chroma ${HOST}:${serverPort}
`;
}

/** The path of the executable; throws StartupError with installation instructions. */
function findHAProxy(): string {
  // Debian installs it outside the PATH of regular users.
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin`;
  try {
    execFileSync('haproxy', ['-v'], { env: { PATH: path }, stdio: 'ignore' });
    return execFileSync('which', ['haproxy'], { env: { PATH: path }, encoding: 'utf8' }).trim();
  } catch (cause) {
    throw new StartupError(
      'HAProxy is not installed. Run "apt-get install haproxy", or exclude it with --targets direct,ceiling,polychrome1,polychrome3.',
      { cause },
    );
  }
}

/** For example "HAProxy version 2.6.12-1+deb12u4". */
export function haproxyVersion(): string {
  const output = execFileSync(findHAProxy(), ['-v'], { encoding: 'utf8' });
  return /HAProxy version \S+/.exec(output)?.[0] ?? 'HAProxy';
}
