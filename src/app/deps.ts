// What a gateway takes from its surroundings: time, randomness, ids, connections and the hooks of its process.

import { randomUUID } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { hostname } from 'node:os';
import type { GatewayDescription } from '../coordination/gateway-store.ts';
import { createNodeClient, createUnverifiedNodeClient } from '../chroma/client/node-client.ts';
import type { Config } from '../config/config.ts';
import { serviceNodes, type NodeDirectory } from '../nodes/node-directory.ts';
import type { Tracer } from '../observability/tracer.ts';
import { systemClock, type Clock } from '../util/clock.ts';
import { packageVersion } from '../util/package-version.ts';
import { createLogger, type Logger } from '../util/logger.ts';

/** How connections to nodes are made; a simulation has its own. */
export interface NodeConnections {
  readonly verified: typeof createNodeClient;
  readonly unverified: typeof createUnverifiedNodeClient;
}

export interface GatewayParts {
  /** Process of the server at this address, if it runs on this machine, for /status. */
  readonly nodePid?: (url: string) => number | null;
  /** Notified of a server that hangs on a call, and should be restarted. */
  readonly onNodeHung?: (url: string) => void;
  /** Notified of a server whose files are damaged: its data directory should be emptied, and the server started again. */
  readonly onNodeDamaged?: (url: string) => void;
  /** Notified when a part that must always run has ended. Nothing restarts it, so the process should end. */
  readonly onFailure?: (error: unknown) => void;
  /** Whether other workers share the port: it accepts clients once it serves, and a session may go to any of them. */
  readonly sharesPort?: boolean;
  /** Notified each time that clients are accepted. */
  readonly onListening?: () => void;
  /** What names the nodes; by default NODES, or the DNS name in it. */
  readonly nodeDirectory?: NodeDirectory;
  readonly clock?: Clock;
  /** Numbers in [0, 1). */
  readonly random?: () => number;
  readonly newId?: () => string;
  readonly logger?: Logger;
}

export interface Deps {
  readonly connections: NodeConnections;
  /** Null: nothing is traced. */
  readonly tracer: Tracer | null;
  /** What names the nodes. */
  readonly nodeDirectory: NodeDirectory;
  readonly gatewayId: string;
  /** As other gateways and operators know it. */
  readonly gateway: GatewayDescription;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: () => string;
  readonly logger: Logger;
  readonly nodePid: (url: string) => number | null;
  readonly onNodeHung: (url: string) => void;
  readonly onNodeDamaged: (url: string) => void;
  readonly onFailure: (error: unknown) => void;
  readonly sharesPort: boolean;
  readonly onListening: () => void;
}

const ANY_ADDRESS = '0.0.0.0';

/** `parts`, with the real ones where it has none. */
export function depsOf(config: Config, parts: GatewayParts): Deps {
  const newId = parts.newId ?? randomUUID;
  const gatewayId = `${hostname()}-${newId().slice(0, 8)}`;
  const address = `http://${config.HOST === ANY_ADDRESS ? hostname() : config.HOST}:${config.PORT}`;
  return {
    tracer: null,
    connections: { verified: createNodeClient, unverified: createUnverifiedNodeClient },
    nodeDirectory: parts.nodeDirectory ?? nodeDirectoryOf(config),
    gatewayId,
    gateway: { id: gatewayId, address, version: packageVersion() },
    clock: parts.clock ?? systemClock,
    random: parts.random ?? Math.random,
    newId,
    logger: parts.logger ?? createLogger(config.LOG_LEVEL),
    nodePid: parts.nodePid ?? (() => null),
    onNodeHung: parts.onNodeHung ?? (() => undefined),
    onNodeDamaged: parts.onNodeDamaged ?? (() => undefined),
    onFailure: parts.onFailure ?? (() => undefined),
    sharesPort: parts.sharesPort ?? false,
    onListening: parts.onListening ?? (() => undefined),
  };
}

// A name server that is there responds in milliseconds.
const DNS_TIMEOUT_MS = 2_000;
const DNS_TRIES = 2;

/** What names the nodes: NODES itself, or the DNS name in it. */
export function nodeDirectoryOf({ nodes, nodeService }: Config): NodeDirectory {
  if (nodeService === null) return { name: 'NODES', nodes: () => Promise.resolve(nodes) };
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES });
  return serviceNodes(nodeService, (name) => resolver.resolveSrv(name));
}
