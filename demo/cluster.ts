// A local cluster for the length of one run: started with `polychrome up`, stopped and removed at the end.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartupError } from '../src/errors.ts';
import { sleep, systemClock as clock } from '../src/util/clock.ts';

export interface Cluster {
  readonly endpoint: string;
  /** Stops every process and removes the data. Safe to call twice. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** What `up` and its options are appended to. */
  readonly command: readonly [string, ...string[]];
  readonly nodes: number;
  /** Ends the wait for readiness. */
  readonly signal: AbortSignal;
  /** Called when the cluster ends by itself, with a sentence that says so. */
  readonly onExit: (reason: StartupError) => void;
  /** How long `up` may take to stop before its processes are killed. */
  readonly stopMsMax?: number;
}

// A first start creates a PostgreSQL data folder; on a slow disk that alone takes tens of seconds.
const START_MS_MAX = 180_000;
// `up` lets requests finish for 15 s and then gives each of its children a deadline of its own.
const STOP_MS_MAX = 60_000;
const OUTPUT_LINES_KEPT = 30;
// Pipes are emptied at once; anything longer is a pipe that somebody else keeps open.
const LAST_WORDS_MS_MAX = 500;

/** Resolves when GET /health answers 200; throws StartupError, with everything stopped, when it never does. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  // Not created here: `up` knows which owner and mode PostgreSQL needs, also when root runs it.
  const data = join(tmpdir(), `polychrome-demo-${randomBytes(6).toString('hex')}`);
  const port = await freePort();
  const [program, ...args] = options.command;
  // A process group of its own: Ctrl-C in the terminal reaches the demo alone, which then stops things in order.
  const child = spawn(
    program,
    [...args, 'up', '--port', String(port), '--data', data, '--nodes', String(options.nodes)],
    { detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const output = keepOutput(child);
  const failed = new AbortController();
  let stopping: Promise<void> | undefined;
  const exited = new Promise<void>((resolve) => {
    const ended = (how: string): void => {
      resolve();
      if (stopping) return;
      const reason = new StartupError(`The cluster stopped by itself (${how}).${output()}`);
      failed.abort(reason);
      options.onExit(reason);
    };
    child.once('error', (error) => ended(error.message));
    // On `close` everything it said has arrived; but a child it left behind can hold that up for ever.
    child.once('exit', (code, signal) => {
      const tell = (): void => ended(signal ?? `exit code ${code}`);
      const cancel = clock.after(LAST_WORDS_MS_MAX, tell);
      child.once('close', () => {
        cancel();
        tell();
      });
    });
  });
  const stop = (): Promise<void> =>
    (stopping ??= stopCluster(child, exited, { data, stopMsMax: options.stopMsMax ?? STOP_MS_MAX }));
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await untilHealthy(
      endpoint,
      AbortSignal.any([options.signal, failed.signal, AbortSignal.timeout(START_MS_MAX)]),
    );
  } catch (error) {
    await stop();
    options.signal.throwIfAborted();
    failed.signal.throwIfAborted();
    throw new StartupError(`The cluster was not ready within ${START_MS_MAX / 1000} s.${output()}`, {
      cause: error,
    });
  }
  return { endpoint, stop };
}

async function untilHealthy(endpoint: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const answer = await fetch(`${endpoint}/health`, { signal }).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.status === 200) return;
    await sleep(clock, 100, signal);
  }
}

async function stopCluster(
  child: ChildProcess,
  exited: Promise<void>,
  { data, stopMsMax }: { data: string; stopMsMax: number },
): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  const deadline = new AbortController();
  await Promise.race([exited, sleep(clock, stopMsMax, deadline.signal)]);
  deadline.abort();
  // Whatever is left now ignored its orders. Its group first, then the children that have groups of their own.
  if (child.pid !== undefined) kill(-child.pid);
  for (const pid of await processesOf(data)) kill(pid);
  await rm(data, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** Processes whose command line names the data folder; its random name makes a false match impossible. Linux only. */
async function processesOf(data: string): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => []);
  const pids = entries.map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const named = await Promise.all(
    pids.map(async (pid) => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(data)),
  );
  return pids.filter((_, i) => named[i]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already, which is what was wanted.
  }
}

function keepOutput(child: ChildProcess): () => string {
  let kept: string[] = [];
  const keep = (piece: Buffer): void => {
    kept = [...kept, ...piece.toString().split('\n')].filter((line) => line !== '').slice(-OUTPUT_LINES_KEPT);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => (kept.length === 0 ? '' : ` It said last:\n${kept.map((line) => `  ${line}`).join('\n')}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a listening socket has a port');
  return address.port;
}
