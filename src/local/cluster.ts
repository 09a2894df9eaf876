// Starts PostgreSQL and the Chroma servers of a local cluster from one data directory, supervised. The caller starts
// the gateway.

import { rename, rm } from 'node:fs/promises';
import { StartupError } from '../errors.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { CHROMA_STOP, startChroma } from './chroma.ts';
import { type ChromaRelease, findChromaRelease } from './chroma-release.ts';
import { type DataDirectory, openDataDirectory } from './data-directory.ts';
import { explainFilesystemError } from './filesystem-errors.ts';
import { findFreePort, isPortFree, PortTakenError } from './port.ts';
import { POSTGRES_STOP, startPostgres } from './postgres.ts';
import { type ProcessRecord, takeProcessRecord } from './process-record.ts';
import { NODE_RESTART_POLICY, type RestartPolicy } from './restart-policy.ts';
import { type Supervised, supervise, type SupervisorLogger } from './supervisor.ts';

export interface LocalClusterOptions {
  readonly dataDir: string;
  /** Default: the number at the last start, or three. */
  readonly nodes?: number | undefined;
  /** A command that starts Chroma (see chroma-release.ts); default: the newest installed release that loads. */
  readonly chroma?: string | undefined;
  readonly logger: SupervisorLogger;
  readonly clock?: Clock | undefined;
  readonly onProgress?: ((progress: LocalProgress) => void) | undefined;
  /** Called when the supervisor stops restarting a child. */
  readonly onGivenUp?: ((child: string, reason: string) => void) | undefined;
  /** Called again and again for a node whose server keeps exiting; it is restarted all the same. */
  readonly onNodeFailing?: ((id: string, reason: string) => void) | undefined;
  /** Aborting cancels the start and stops all processes. */
  readonly signal?: AbortSignal | undefined;
  readonly restartPolicy?: RestartPolicy | undefined;
}

export type LocalProgress =
  | { readonly step: 'reclaimed'; readonly child: string; readonly pid: number }
  | { readonly step: 'chroma'; readonly release: string }
  | { readonly step: 'starting'; readonly child: string }
  | { readonly step: 'ready'; readonly child: string; readonly address: string };

interface LocalNode {
  readonly id: string;
  readonly url: string;
  /** The folder of the server. */
  readonly dataDir: string;
  /** Id of the current server process; null while none runs. */
  pid(): number | null;
}

export interface LocalCluster {
  readonly databaseUrl: string;
  readonly nodes: readonly LocalNode[];
  /** Display name of the Chroma release. */
  readonly release: string;
  /** Signals a node's process; the supervisor restarts it when it exits. */
  killNode(id: string, signal?: NodeJS.Signals): void;
  /** Stops the process with open sockets, to simulate a node that hangs. */
  pauseNode(id: string): void;
  resumeNode(id: string): void;
  /** Stops a node; it stays stopped until `startNode`. */
  stopNode(id: string): Promise<void>;
  /** Puts the node's folder aside, as `FOLDER.damaged`, and starts it on an empty one. */
  resetNode(id: string): Promise<void>;
  /** Starts a stopped or given-up node; resolves when it is ready. */
  startNode(id: string): Promise<void>;
  /** The supervised PostgreSQL process. */
  readonly postgres: Supervised;
  /** Stops the nodes, then PostgreSQL; resolves when no process is left. */
  stop(): Promise<void>;
}

const DEFAULT_NODES = 3;
/** Its name as a child. */
const POSTGRES = 'postgres';
/** Another program may take a free port between the check and the start, but hardly three times in a row. */
const PORT_TRIES_MAX = 3;

interface Running {
  readonly supervised: Supervised;
  readonly port: number;
}

/** Starts the cluster of `dataDir`, new or existing; throws StartupError when it cannot start. */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const directory = openDataDirectory(options.dataDir);
  const progress = options.onProgress ?? (() => {});
  const clock = options.clock ?? systemClock;
  const record = await takeProcessRecord({
    directory: directory.path,
    directoryId: directory.id,
    clock,
    onReclaimed: (child, pid) => progress({ step: 'reclaimed', child, pid }),
  }).catch((error: unknown) => {
    throw explainFilesystemError(error, directory.path);
  });
  const starter = new Starter(options, { directory, record, clock, progress });
  try {
    const release = await findChromaRelease(options.chroma);
    progress({ step: 'chroma', release: release.name });
    return await starter.start(release);
  } catch (error) {
    await starter.stop();
    throw explainFilesystemError(error, directory.path);
  }
}

interface StarterParts {
  readonly directory: DataDirectory;
  readonly record: ProcessRecord;
  readonly clock: Clock;
  readonly progress: (progress: LocalProgress) => void;
}

class Starter {
  readonly #options: LocalClusterOptions;
  readonly #parts: StarterParts;
  readonly #nodes = new Map<string, Running>();
  #postgres: Supervised | null = null;
  #databaseUrl = '';
  #stopped: Promise<void> | null = null;

  constructor(options: LocalClusterOptions, parts: StarterParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async start(release: ChromaRelease): Promise<LocalCluster> {
    const { directory } = this.#parts;
    const count = this.#options.nodes ?? directory.nodes ?? DEFAULT_NODES;
    const ids = Array.from({ length: count }, (_, index) => `node-${index + 1}`);
    // Waits for all starts before it throws, because a process that is still starting cannot be stopped.
    const ports = await this.#choosePorts(ids);
    const [postgres, ...nodes] = await Promise.allSettled([
      this.#startPostgres(),
      ...ids.map((id) => this.#startNode(id, ports.get(id)!, release)),
    ]);
    if (postgres.status === 'rejected') throw asStartupError(postgres.reason);
    const failed = nodes.find((start) => start.status === 'rejected');
    // The others serve while a node with a full disk, or damaged files, is started again and again.
    const isAlone = nodes.every((start) => start.status === 'rejected');
    if (failed !== undefined && (isAlone || this.#options.signal?.aborted === true))
      throw asStartupError(failed.reason);
    for (const [index, start] of nodes.entries())
      if (start.status === 'rejected')
        this.#nodes.get(ids[index]!)?.supervised.startLater(messageOf(start.reason));
    directory.remember({
      nodes: count,
      ports: Object.fromEntries([...this.#nodes].map(([id, { port }]) => [id, port])),
    });
    return this.#cluster(ids, release);
  }

  /** Stops the nodes before PostgreSQL, so that no node loses the log first. */
  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      await Promise.all([...this.#nodes.values()].map(({ supervised }) => supervised.stop()));
      await this.#postgres?.stop();
      this.#parts.record.release();
    })();
    return this.#stopped;
  }

  async #choosePorts(ids: readonly string[]): Promise<Map<string, number>> {
    const ports = new Map<string, number>();
    for (const id of ids) {
      const remembered = this.#parts.directory.port(id);
      const taken = new Set(ports.values());
      const usable = remembered !== null && !taken.has(remembered) && (await isPortFree(remembered));
      ports.set(id, usable ? remembered : await findFreePort(taken));
    }
    return ports;
  }

  async #startPostgres(): Promise<void> {
    const { directory, record, clock, progress } = this.#parts;
    let port: number | undefined; // restarts keep the port, because the gateway has the address
    const supervised = this.#supervise(POSTGRES, async (signal) => {
      const postgres = await startPostgres({
        dir: directory.postgresFolder,
        port,
        clock,
        signal,
        env: record.childEnvironment,
        onSpawn: (pid) => record.add('postgres', pid, POSTGRES_STOP),
      });
      port = postgres.port;
      this.#databaseUrl = postgres.url;
      return postgres;
    });
    this.#postgres = supervised;
    progress({ step: 'starting', child: 'postgres' });
    await supervised.start();
    progress({ step: 'ready', child: 'postgres', address: `127.0.0.1:${port}` });
  }

  async #startNode(id: string, firstPort: number, release: ChromaRelease): Promise<void> {
    const { directory, record, clock, progress } = this.#parts;
    progress({ step: 'starting', child: id });
    let port = firstPort;
    const supervised = this.#supervise(id, (signal) =>
      startChroma({
        name: id,
        release,
        path: directory.nodeFolder(id),
        port,
        logFile: directory.logFile(id),
        clock,
        signal,
        env: record.childEnvironment,
        onSpawn: (pid) => record.add(id, pid, CHROMA_STOP),
      }),
    );
    for (let tries = 1; ; tries += 1) {
      this.#nodes.set(id, { supervised, port });
      try {
        await supervised.start();
        break;
      } catch (error) {
        if (!(error instanceof PortTakenError) || tries === PORT_TRIES_MAX) throw error;
        port = await findFreePort(new Set([...this.#nodes.values()].map((node) => node.port)));
      }
    }
    progress({ step: 'ready', child: id, address: nodeUrl(port) });
  }

  #supervise(name: string, launch: Parameters<typeof supervise>[0]['launch']): Supervised {
    const { logger, restartPolicy, onGivenUp, onNodeFailing, signal } = this.#options;
    const isNode = name !== POSTGRES;
    return supervise({
      name,
      launch: (stopped) => launch(signal === undefined ? stopped : AbortSignal.any([stopped, signal])),
      clock: this.#parts.clock,
      logger,
      policy: restartPolicy ?? (isNode ? NODE_RESTART_POLICY : undefined),
      onGivenUp: (reason) => onGivenUp?.(name, reason),
      onFailing: (reason) => onNodeFailing?.(name, reason),
      stopRequested: signal,
    });
  }

  #cluster(ids: readonly string[], release: ChromaRelease): LocalCluster {
    const node = (id: string): Running => {
      const running = this.#nodes.get(id);
      if (running === undefined) throw new Error(`There is no node ${id}.`);
      return running;
    };
    return {
      databaseUrl: this.#databaseUrl,
      release: release.name,
      nodes: ids.map((id) => ({
        id,
        url: nodeUrl(node(id).port),
        dataDir: this.#parts.directory.nodeFolder(id),
        pid: () => node(id).supervised.pid(),
      })),
      postgres: this.#postgres!,
      killNode: (id, signal = 'SIGKILL') => node(id).supervised.signal(signal),
      pauseNode: (id) => node(id).supervised.signal('SIGSTOP'),
      resumeNode: (id) => node(id).supervised.signal('SIGCONT'),
      stopNode: (id) => node(id).supervised.stop(),
      startNode: (id) => node(id).supervised.start(),
      resetNode: async (id) => {
        const folder = this.#parts.directory.nodeFolder(id);
        await node(id).supervised.stop();
        await rm(`${folder}.damaged`, { recursive: true, force: true });
        await rename(folder, `${folder}.damaged`);
        const { supervised } = node(id);
        await supervised.start().catch((error: unknown) => supervised.startLater(messageOf(error)));
      },
      stop: () => this.stop(),
    };
  }
}

function nodeUrl(port: number): string {
  return `http://127.0.0.1:${port}`;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Turns a failed start into a StartupError; the operator can fix it, and the message names the child and its output. */
function asStartupError(error: unknown): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError') return error;
  return error instanceof StartupError ? error : new StartupError(error.message, { cause: error });
}
