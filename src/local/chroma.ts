// Starts a stock Chroma server as a child process.

import { mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { type Clock, sleep } from '../util/clock.ts';
import type { ChromaRelease } from './chroma-release.ts';
import { type Child, type StopStep, spawnChild } from './child.ts';
import { diskFull } from './filesystem-errors.ts';
import { PortTakenError } from './port.ts';

export interface ChromaOptions {
  /** For messages: the node's id. */
  readonly name: string;
  readonly release: ChromaRelease;
  /** The server's own folder; created when missing. */
  readonly path: string;
  readonly port: number;
  readonly logFile: string;
  readonly clock: Clock;
  /** Aborting cancels the start and stops the process. */
  readonly signal?: AbortSignal | undefined;
  /** Variables added to its environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly onSpawn?: ((pid: number) => void) | undefined;
}

/** 1.0.5 exits within 0.2 s of SIGTERM. 1.3.4 logs its shutdown and then never exits. SIGINT stops neither. */
export const CHROMA_STOP: readonly StopStep[] = [{ signal: 'SIGTERM', waitMs: 3_000 }];

const HOST = '127.0.0.1';
/** A new 1.0.5 is ready after 0.2 s; a server with existing data loads it first. */
const READY_WAIT_MS = 60_000;
const READY_POLL_MS = 20;
const HEARTBEAT_WAIT_MS = 2_000;

/** Starts a server; resolves when its heartbeat succeeds, rejects with PortTakenError when its port is not free. */
export async function startChroma(options: ChromaOptions): Promise<Child> {
  const { name, release, path, port, clock } = options;
  mkdirSync(path, { recursive: true });
  const child = await spawnChild({
    name,
    ...release.commandFor({ path, host: HOST, port }),
    cwd: path,
    env: { ...chromaEnvironment(process.env), ...options.env },
    logFile: options.logFile,
    stopSequence: CHROMA_STOP,
    clock,
    onSpawn: options.onSpawn,
  });
  try {
    await untilReady(child, options);
    return child;
  } catch (error) {
    await child.stop();
    throw error;
  }
}

/** Returns the environment of a server, without Polychrome's settings and without CHROMA_*, which configure Chroma. */
export function chromaEnvironment(inherited: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(inherited).filter(
    ([name]) => !name.startsWith('CHROMA_') && name !== 'DATABASE_URL' && name !== 'NODE_OPTIONS',
  );
  // The Rust servers send no telemetry; Chroma's Python package, which a custom command may start, reads this variable.
  return { ...Object.fromEntries(kept), ANONYMIZED_TELEMETRY: 'False' };
}

async function untilReady(child: Child, options: ChromaOptions): Promise<void> {
  const { name, port, clock, signal } = options;
  let exit: string | null = null;
  void child.exited.then(({ code, signal: by }) => (exit = by ?? `exit code ${code}`));
  const deadline = clock.monotonic() + READY_WAIT_MS;
  for (;;) {
    signal?.throwIfAborted();
    const isAlive = await Promise.race([heartbeat(port), child.exited.then(() => false)]);
    if (exit !== null) throw explainExit(exit, child, options);
    if (isAlive) return;
    if (clock.monotonic() > deadline) {
      throw new Error(
        `${name} was not ready on port ${port} within ${READY_WAIT_MS / 1_000} s; see ${options.logFile}`,
      );
    }
    await sleep(clock, READY_POLL_MS, signal);
  }
}

function explainExit(exit: string, child: Child, { name, path, port, logFile }: ChromaOptions): Error {
  const output = child.output();
  // Releases 1.0.5 and 1.3.4 print this and exit with 0.
  if (/Address \S+ is not available|Address already in use/.test(output)) {
    return new PortTakenError(`Port ${port}, meant for ${name}, is in use by another program.`);
  }
  if (/database or disk is full|No space left on device/.test(output)) return diskFull(path);
  const damage = /database disk image is malformed|file is not a database/.exec(output)?.[0];
  if (damage !== undefined) return new Error(`${name} does not start: ${damage}; see ${logFile}`);
  const last = output.trimEnd().split('\n').at(-1)?.trim();
  return new Error(`${name} ended while it started (${exit})${last ? `: ${last}` : ''}; see ${logFile}`);
}

/** Returns true when GET /api/v2/heartbeat returns 200. */
function heartbeat(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: HOST, port, path: '/api/v2/heartbeat', agent: false, timeout: HEARTBEAT_WAIT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
  });
}
