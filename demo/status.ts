// What GET /status says of the nodes, and the two things the demo does with it: kill one, wait for all.
import { z } from 'zod';
import { StartupError } from '../src/errors.ts';
import { sleep, systemClock as clock } from '../src/util/clock.ts';

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

export type Status = z.infer<typeof statusSchema>;
export type NodeStatus = Status['nodes'][number];

/** Throws when the gateway does not answer within 5 s, or answers something else. */
export async function readStatus(endpoint: string): Promise<Status> {
  const answer = await fetch(`${endpoint}/status`, { signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`GET /status answered ${answer.status}.`);
  return statusSchema.parse(await answer.json());
}

/** Kills, with SIGKILL, the server of a serving node of that role, and says which. */
export async function killNode(endpoint: string, role: NodeStatus['role']): Promise<NodeStatus> {
  const { nodes } = await readStatus(endpoint);
  const victim = nodes.find((node) => node.role === role && node.state === 'serving');
  if (!victim) throw new StartupError(`No ${role} is serving, so none can be killed: ${describe(nodes)}.`);
  if (!victim.pid) throw new StartupError(`GET /status gives no process id for node ${victim.id}.`);
  process.kill(victim.pid, 'SIGKILL');
  return victim;
}

/** True when every node serves and has applied the whole log, and none is still the process that was killed. */
export function isLevel(status: Status, killed: readonly NodeStatus[]): boolean {
  return (
    status.nodes.length > 0 &&
    status.nodes.every((node) => node.state === 'serving' && node.checkpoint === status.head) &&
    !survives(status, killed)
  );
}

/** True when every node serves again; writes may still be on their way to some. */
export function allServing(status: Status, killed: readonly NodeStatus[]): boolean {
  return status.nodes.every((node) => node.state === 'serving') && !survives(status, killed);
}

// Right after a kill /status may still describe the dead process; only a new process id is news.
function survives(status: Status, killed: readonly NodeStatus[]): boolean {
  return status.nodes.some((node) => killed.some((dead) => dead.id === node.id && dead.pid === node.pid));
}

export interface Wait {
  readonly endpoint: string;
  readonly until: (status: Status) => boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The first status that satisfies `until`; throws StartupError with the last one after `timeoutMs`. */
export async function waitForStatus(wait: Wait): Promise<Status> {
  const deadline = clock.monotonic() + wait.timeoutMs;
  let last = 'no answer';
  while (clock.monotonic() < deadline) {
    wait.signal.throwIfAborted();
    try {
      const status = await readStatus(wait.endpoint);
      if (wait.until(status)) return status;
      last = `head ${status.head}; ${describe(status.nodes)}`;
    } catch (error) {
      last = String(error);
    }
    await sleep(clock, 100, wait.signal);
  }
  throw new StartupError(`The nodes were not level within ${wait.timeoutMs / 1000} s: ${last}.`);
}

function describe(nodes: readonly NodeStatus[]): string {
  return nodes.map((node) => `${node.id} ${node.role} ${node.state} at ${node.checkpoint}`).join(', ');
}
