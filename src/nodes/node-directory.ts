// Nodes that a DNS name has, such as the pods of a headless service of Kubernetes (NODES=dns+srv://NAME).

import type { NodeLocation } from './member-store.ts';

/** Where the nodes of a cluster are named. */
export interface NodeDirectory {
  /** For messages. */
  readonly name: string;
  /** Rejects when they cannot be learned at this moment. */
  readonly nodes: () => Promise<readonly NodeLocation[]>;
}

/** As `resolveSrv` of node:dns. */
export type ResolveSrv = (
  name: string,
) => Promise<readonly { readonly name: string; readonly port: number }[]>;

const NODE_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** The nodes of a service, by its SRV records: the first label of a target is the id of its node. */
export function serviceNodes(service: string, resolveSrv: ResolveSrv): NodeDirectory {
  const name = `DNS (${service})`;
  return {
    name,
    async nodes() {
      const nodes = (await resolveSrv(service)).map(({ name: target, port }) => {
        const host = target.toLowerCase().replace(/\.$/, '');
        return { id: host.replace(/\..*/s, ''), url: `http://${host}:${port}` };
      });
      if (nodes.length === 0) throw new Error(`${name} has no SRV record`);
      const ids = new Set(nodes.map(({ id }) => id));
      const invalid = [...ids].find((id) => !NODE_ID.test(id));
      if (invalid !== undefined)
        throw new Error(`${name} has a target whose first label "${invalid}" is no id`);
      if (ids.size < nodes.length) throw new Error(`${name} has two targets with the same first label`);
      // Answers come in any order; the first node is the preferred primary of an empty cluster.
      return nodes.sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }));
    },
  };
}
