// Finds the process of a Polychrome node, for workloads that stop or kill it.

import type { NodeStatus, Server } from './server.ts';

export type NodeProcess = NodeStatus & { readonly pid: number };

/** The process of the first node with this role; throws when /status shows none. */
export async function processOf(server: Server, role: 'primary' | 'replica'): Promise<NodeProcess> {
  const { nodes } = await server.status();
  const node = nodes.find((one) => one.role === role);
  if (node?.pid === undefined) throw new Error(`/status shows no ${role} with a process id`);
  return { ...node, pid: node.pid };
}
