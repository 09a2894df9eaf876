// Whether a server can join as a new node: it must be empty, because a node is filled from the log and from other nodes.

import { inspectNode, type NodeContents } from '../nodes/marker.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { Deps } from './deps.ts';

// A server that is there lists its databases in milliseconds; one at work may need seconds.
const INSPECT_DEADLINE_MS = 10_000;

/** Asks the server at an address why it cannot join as node `id`; null when it can. */
export function joinRefusal({
  clock,
  connections,
}: Deps): (id: string, url: string) => Promise<string | null> {
  return async (id, url) => {
    const client = connections.unverified({ url, clock, readConnections: 1, mutateConnections: 1 });
    try {
      return refusalOf(id, await inspectNode(client, INSPECT_DEADLINE_MS));
    } catch (error) {
      return `The server at ${maskCredentials(url)} does not respond as a Chroma server (${maskCredentials((error as Error).message)}).`;
    } finally {
      await client.destroy();
    }
  };
}

/** Why a server that holds this cannot join as a new node; null when it can. */
function refusalOf(id: string, { marker, blank, collections }: NodeContents): string | null {
  if (marker !== null)
    return `The server is node "${marker.node}" of cluster ${marker.cluster}; "${id}" needs a server with an empty data directory.`;
  if (blank) return null;
  const count = collections === 1 ? '1 collection' : `${collections} collections`;
  return `The server holds data (${count}); "${id}" needs a server with an empty data directory.`;
}
