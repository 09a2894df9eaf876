// A gateway of the simulation: everything that src/app builds behind the sockets, on the simulated network.

import { ERROR_RESPONSES } from '../../../src/api/v2/error-responses.ts';
import { buildCaches } from '../../../src/app/caches.ts';
import { buildDataPlane } from '../../../src/app/data-plane.ts';
import type { Deps } from '../../../src/app/deps.ts';
import { Lifecycle } from '../../../src/app/lifecycle.ts';
import { clientRouter } from '../../../src/app/listeners.ts';
import { buildReplication, type Replication } from '../../../src/app/replication.ts';
import { storageOn, type Storage } from '../../../src/app/storage.ts';
import { loadConfig, type Config } from '../../../src/config/config.ts';
import { Knowledge } from '../../../src/coordination/knowledge.ts';
import { CurrentTerm } from '../../../src/coordination/current-term.ts';
import type { HttpResponse } from '../../../src/http/response.ts';
import type { Router } from '../../../src/http/router.ts';
import type { ChromaProcess, NodeCall } from './chroma-process.ts';
import type { Network } from './network.ts';
import { SimulatedNodeClient } from './node-client.ts';
import { linkedDatabase, type PostgresService } from './postgres-link.ts';
import type { SimulatedProcess } from './schedule.ts';

export interface ClientCall {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ClientResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface GatewayOptions {
  readonly process: SimulatedProcess;
  readonly network: Network;
  readonly postgres: PostgresService;
  readonly nodes: readonly ChromaProcess[];
  readonly random: () => number;
  /** As random, for how late statements are executed. */
  readonly lateness: () => number;
  readonly newId: () => string;
  readonly onSent: (call: NodeCall) => () => void;
  /** Called before a connection for mutating calls is opened to a node. */
  readonly onOpening: (node: string) => void;
  readonly onLog: (level: string, text: string, fields: object) => void;
  /** A part that must run for ever has ended, or a request failed with an internal error. */
  readonly onBroken: (what: string) => void;
}

const CONNECTIONS = { queries: 4, append: 1, steps: 2, lease: 1, state: 1 } as const;
const STOP_DEADLINE_MS = 15_000;
const SIMULATED_SETTLE_MS = 200;

const urlOf = (node: string): string => `http://${node}.invalid`;

function configOf(nodes: readonly ChromaProcess[]): Config {
  return loadConfig({
    DATABASE_URL: 'postgres://model.invalid/model',
    NODES: nodes.map(({ id }) => `${id}=${urlOf(id)}`).join(','),
    LEASE_MS: '2000',
    LOG_TIMEOUT_MS: '4000',
    WRITE_TIMEOUT_MS: '10000',
    READ_TIMEOUT_MS: '6000',
    SETTLE_MS: String(SIMULATED_SETTLE_MS),
    ENTRY_TIMEOUT_MS: '10000',
    ENTRY_ATTEMPTS: '4',
  });
}

export class SimulatedGateway {
  readonly process: SimulatedProcess;
  readonly #options: GatewayOptions;
  readonly #life: Lifecycle;
  #router: Router | null = null;
  replication: Replication | null = null;
  storage: Storage | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.process = options.process;
    const { onLog } = options;
    const logger = { error: (fields: object, text: string) => onLog('error', text, fields) };
    this.#life = new Lifecycle({ clock: options.process, logger, stopDeadlineMs: STOP_DEADLINE_MS });
  }

  get isRunning(): boolean {
    return this.#router !== null && !this.process.isKilled;
  }

  /** Resolves once it serves requests; rejects when PostgreSQL cannot be reached. */
  async start(): Promise<void> {
    const { nodes, postgres, network, process, lateness } = this.#options;
    const config = configOf(nodes);
    const deps = this.#deps();
    const pool = (size: number) => linkedDatabase({ process, network, postgres, random: lateness }, size);
    const { queries, append, steps, lease, state } = CONNECTIONS;
    const leading = { append: pool(append), steps: pool(steps), lease: pool(lease) };
    const pools = { queries: pool(queries), ...leading, state: pool(state) };
    const takeWarning = (): null => null;
    const life = this.#life;
    const storage = await storageOn({ ...pools, all: [], takeWarning }, config, { deps, life });
    const current = new CurrentTerm();
    const knowledge = new Knowledge(process, config.LEASE_MS);
    const caches = buildCaches(config, storage, { current, knowledge });
    const log = { committed: () => undefined };
    const replication = buildReplication(config, { deps, storage, caches, current, knowledge, log }, life);
    const dataPlane = buildDataPlane(config, { deps, storage, caches, replication }, life);
    await life.start();
    this.storage = storage;
    this.replication = replication;
    this.#router = clientRouter({ deps, storage, dataPlane, replication });
  }

  stop(): Promise<void> {
    return this.#life.stop();
  }

  /** As the HTTP server serves a request whose body it has read. */
  async handle({ method, path, headers, body }: ClientCall): Promise<ClientResponse> {
    const [pathname = '', search = ''] = path.split('?', 2);
    const match = this.#router?.match(method, pathname) ?? 'not_found';
    if (typeof match === 'string') return { status: 404, headers: {}, body: match };
    const query = new URLSearchParams(search);
    const head = { method, params: match.params, headers, query, remoteAddress: null };
    try {
      const refusal = await match.admit(head);
      if (refusal !== null) return whole(refusal);
      const { signal } = new AbortController();
      const received = match.trimBody(Buffer.from(body));
      return await whole(await match.handle({ ...head, body: received, signal }));
    } catch (error) {
      const expected = ERROR_RESPONSES.expected(error);
      if (expected === null) {
        const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.#options.onBroken(`request failed: ${match.name}: ${stack}`);
      }
      return whole(expected ?? ERROR_RESPONSES.internal);
    }
  }

  #deps(): Deps {
    const { process, network, nodes, random, newId, onSent, onOpening, onLog, onBroken } = this.#options;
    const at = (url: string): ChromaProcess => nodes.find(({ id }) => urlOf(id) === url)!;
    const shared = { process, network, onSent, onOpening };
    const log =
      (level: string) =>
      (fields: object, text: string): void =>
        onLog(level, text, fields);
    const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
    const locations = nodes.map(({ id }) => ({ id, url: urlOf(id) }));
    return {
      nodeDirectory: { name: 'NODES', nodes: () => Promise.resolve(locations) },
      connections: {
        verified: ({ url, expect, onDisconnected, readConnections, mutateConnections }) => {
          const limits = { readConnections, mutateConnections, onDisconnected };
          return new SimulatedNodeClient(url, { ...shared, node: at(url), expect, ...limits });
        },
        unverified: ({ url, refuses, readConnections, mutateConnections }) => {
          const limits = { refuses, readConnections, mutateConnections };
          return new SimulatedNodeClient(url, { ...shared, node: at(url), expect: null, ...limits });
        },
      },
      gatewayId: process.name,
      gateway: { id: process.name, address: process.name, version: 'simulated' },
      clock: process,
      random,
      newId,
      logger,
      nodePid: () => null,
      tracer: null,
      onNodeDamaged: () => undefined,
      sharesPort: false,
      onListening: () => undefined,
      onNodeHung: () => undefined,
      onFailure: (error) => onBroken(`background task ended: ${String(error)}`),
    };
  }
}

async function whole(response: HttpResponse): Promise<ClientResponse> {
  if (typeof response !== 'function') {
    const { status, headers = {}, body = '' } = response;
    return { status, headers, body: body.toString() };
  }
  const chunks: string[] = [];
  let sent: { status: number; headers: Readonly<Record<string, string>> } = { status: 200, headers: {} };
  await response({
    closed: false,
    head: (status, headers = {}) => (sent = { status, headers }),
    write: async (chunk) => void chunks.push(chunk.toString()),
  });
  return { ...sent, body: chunks.join('') };
}
