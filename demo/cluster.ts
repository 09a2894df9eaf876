// Starts a temporary cluster with `polychrome up`, follows the state of its nodes and kills their servers.
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { StartupError } from '../src/errors.ts';
import { spawnChild } from '../src/local/child.ts';
import { openDataDirectory } from '../src/local/data-directory.ts';
import { findFreePort } from '../src/local/port.ts';
import { takeProcessRecord } from '../src/local/process-record.ts';
import { sleep, systemClock as clock } from '../src/util/clock.ts';

// A first start creates a PostgreSQL data directory, which takes tens of seconds on a slow disk.
const READY_MS_MAX = 180_000;
// `up` waits 15 s for requests in flight; each of its children then has a deadline of its own.
const STOP_MS_MAX = 60_000;
const POLL_MS = 100;
const STATUS_MS_MAX = 5000;

/**
 * Runs `polychrome up` with these Node.js arguments; resolves when every node serves. Otherwise stops all processes
 * and throws. `stop` stops all processes and removes the data. Aborts `run` when the cluster exits by itself.
 */
export async function startCluster(
  command: readonly string[],
  nodes: number,
  run: AbortController,
): Promise<{ endpoint: string; stop: () => Promise<void> }> {
  const data = join(tmpdir(), `polychrome-demo-${randomBytes(6).toString('hex')}`);
  const port = await findFreePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const child = await spawnChild({
    name: 'polychrome up',
    command: process.execPath,
    args: [...command, 'up', '--port', String(port), '--data', data, '--nodes', String(nodes)],
    cwd: process.cwd(),
    // Without ADMIN_PORT the gateway serves /status on its only port.
    env: { ...process.env, ADMIN_PORT: undefined },
    logFile: `${data}.log`,
    stopSequence: [{ signal: 'SIGTERM', waitMs: STOP_MS_MAX }],
    clock,
  });
  let stopping = false;
  void child.exited.then(({ code, signal }) => {
    const reason = `The cluster exited by itself (${signal ?? `exit code ${code}`}).\n${child.output()}`;
    if (!stopping) run.abort(new StartupError(reason.trim()));
  });
  const stop = async (): Promise<void> => {
    stopping = true;
    await child.stop();
    // Stops the servers that `polychrome up` leaves running when it was killed.
    const { path: directory, id: directoryId } = openDataDirectory(data);
    (await takeProcessRecord({ directory, directoryId, clock, onReclaimed: () => {} })).release();
    await rm(data, { recursive: true, force: true, maxRetries: 10 });
    await rm(`${data}.log`, { force: true });
  };
  try {
    await waitForNodes(endpoint, 0, run.signal);
    return { endpoint, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const statusSchema = z.object({
  head: z.coerce.number(),
  nodes: z.array(
    z.object({
      id: z.string(),
      url: z.string(),
      role: z.enum(['primary', 'replica']),
      state: z.string(),
      checkpoint: z.coerce.number(),
      pid: z.number().int().min(2).nullish(),
    }),
  ),
});

type Status = z.infer<typeof statusSchema>;

export async function readStatus(endpoint: string): Promise<Status> {
  const response = await fetch(`${endpoint}/status`, { signal: AbortSignal.timeout(STATUS_MS_MAX) });
  if (!response.ok) throw new Error(`GET /status returned ${response.status}`);
  return statusSchema.parse(await response.json());
}

// Right after a kill, /status may still show the killed process.
const killed = new Set<number>();

/** Kills the server of a serving node of that role with SIGKILL; returns a sentence that names it. */
export async function killServer(endpoint: string, role: 'primary' | 'replica'): Promise<string> {
  const { nodes } = await readStatus(endpoint);
  const node = nodes.find((candidate) => candidate.role === role && candidate.state === 'serving');
  if (!node?.pid) throw new StartupError(`No ${role} with a known process id is serving.`);
  process.kill(node.pid, 'SIGKILL');
  killed.add(node.pid);
  return `Killed the ${role}, ${node.id} (kill -9 ${node.pid}).`;
}

/** Waits until every node serves and lags by at most `lagMax` entries; throws StartupError after READY_MS_MAX. */
export async function waitForNodes(endpoint: string, lagMax: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = clock.monotonic() + READY_MS_MAX;
  for (;;) {
    signal.throwIfAborted();
    const reason = await readStatus(endpoint).then((status) => notReady(status, lagMax), String);
    if (reason === null) return;
    if (clock.monotonic() > deadlineMs) {
      throw new StartupError(`The nodes were not ready within ${READY_MS_MAX / 1000} s: ${reason}.`);
    }
    await sleep(clock, POLL_MS, signal);
  }
}

/** Names the nodes that are not ready; null when all are. */
export function notReady({ head, nodes }: Status, lagMax: number): string | null {
  if (nodes.length === 0) return 'no nodes';
  const waiting = nodes.filter(
    ({ state, checkpoint, pid }) => state !== 'serving' || head - checkpoint > lagMax || killed.has(pid ?? 0),
  );
  return (
    waiting.map(({ id, state, checkpoint }) => `${id} ${state} at ${checkpoint} of ${head}`).join() || null
  );
}
