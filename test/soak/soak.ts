// The load and the measurements of a soak. The content stays bounded, so that only the gateway can grow, or the log, which
// its retention bounds.

import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { TestCluster } from '../support/cluster.ts';
import { gaugeEnvironment, readGauge, type ProcessGauge } from '../support/gauge.ts';
import { sql } from '../support/postgres-faults.ts';

export interface SoakSample extends ProcessGauge {
  /** Size of the whole database. */
  readonly postgresBytes: number;
  readonly requests: number;
}

export interface SoakResult {
  readonly samples: readonly SoakSample[];
  readonly requests: number;
  readonly failures: readonly string[];
  /** Failures and differences between nodes at the end; [] when all is well. */
  readonly broken: readonly string[];
  readonly retention: string;
}

export interface SoakOptions {
  readonly forMs: number;
  readonly log: (line: string) => void;
}

const SAMPLE_MS = 5_000;
const IDLE_CONNECTIONS = 500;
const KEEP_OPEN_MS = 10_000;
const IDS = 2_000;
const DIMENSION = 64;
const RETENTION = '1m';
const FAILURES_KEPT = 20;

/** Runs the load for `forMs` and compares the nodes at the end. */
export async function soak({ forMs, log }: SoakOptions): Promise<SoakResult> {
  const dir = await mkdtemp(join(tmpdir(), 'polychrome-soak-'));
  const gauge = join(dir, 'gauge.json');
  const cluster = await TestCluster.start({
    ownProcess: gaugeEnvironment(gauge),
    settings: { WAL_RETENTION: RETENTION },
  });
  const idle = await Promise.all(Array.from({ length: IDLE_CONNECTIONS }, () => open(cluster.url)));
  // The gateway closes a connection without a request after seconds, and an idle one after 75 s.
  const keepOpen = setInterval(() => {
    for (const socket of idle) socket.resume().write('GET /api/v2/heartbeat HTTP/1.1\r\nhost: x\r\n\r\n');
  }, KEEP_OPEN_MS);
  try {
    const until = performance.now() + forMs;
    const load = new SoakLoad(cluster);
    const running = load.run(until);
    const samples: SoakSample[] = [];
    while (performance.now() < until) {
      await pause(SAMPLE_MS);
      const read = readGauge(gauge);
      if (read === null || (await stat(gauge)).mtimeMs < Date.now() - SAMPLE_MS) continue;
      samples.push({ ...read, postgresBytes: await postgresBytes(cluster), requests: load.requests });
      const { rssBytes, handles, delayP99Ms } = read;
      log(
        `${load.requests} requests, ${mib(rssBytes)} MiB, ${handles} handles, p99 delay ${delayP99Ms.toFixed(1)} ms`,
      );
    }
    await running;
    await cluster.allServe();
    const broken = [...load.failures];
    if (new Set((await cluster.contents()).values()).size !== 1) broken.push('the nodes differ');
    return { samples, requests: load.requests, failures: load.failures, broken, retention: RETENTION };
  } finally {
    clearInterval(keepOpen);
    for (const socket of idle) socket.destroy();
    await cluster.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

class SoakLoad {
  readonly #cluster: TestCluster;
  requests = 0;
  readonly failures: string[] = [];

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  /** Writers, readers and clients that vanish, until `until`. */
  async run(until: number): Promise<void> {
    const id = await this.#cluster.api.create('soak');
    // During the first write to a collection a stock server responds to queries with 500, "Nothing found on disk": 128 of
    // 1,841 queries beside 300 first writes to a bare 1.0.5.
    await this.#write(id, 0);
    const loop = async (turn: (n: number) => Promise<unknown>): Promise<void> => {
      for (let n = 0; performance.now() < until; n++) await turn(n);
    };
    await Promise.all([
      ...[0, 1, 2, 3].map((writer) => loop((n) => this.#write(id, writer * IDS + (n % IDS)))),
      loop((n) => this.#delete(id, n % IDS)),
      ...[0, 1, 2].map(() => loop(() => this.#query(id))),
      loop((n) => this.#get(id, n % IDS)),
      loop((n) => this.#schema(n)),
      loop(() => this.#abandon(id)),
    ]);
  }

  #write(id: string, record: number): Promise<void> {
    const body = {
      ids: [`r${record}`],
      embeddings: [vector()],
      documents: [`document ${record} `.repeat(10)],
      metadatas: [{ record }],
    };
    return this.#call(() => this.#cluster.api.records(id, 'upsert', body));
  }

  #delete(id: string, record: number): Promise<void> {
    const which = record % 2 === 0 ? { ids: [`r${record}`] } : { where: { record } };
    return this.#call(() => this.#cluster.api.records(id, 'delete', which));
  }

  #query(id: string): Promise<void> {
    return this.#call(() =>
      this.#cluster.api.records(id, 'query', { query_embeddings: [vector()], n_results: 10 }),
    );
  }

  #get(id: string, record: number): Promise<void> {
    return this.#call(() => this.#cluster.api.records(id, 'get', { where: { record } }));
  }

  async #schema(n: number): Promise<void> {
    const at = '/api/v2/tenants/default_tenant/databases/default_database/collections';
    await this.#call(() => this.#cluster.api.call('POST', at, { name: `passing-${n}` }));
    await this.#call(() => this.#cluster.api.call('DELETE', `${at}/passing-${n}`));
    await pause(1_000);
  }

  /** A client that vanishes in the middle of its request. */
  async #abandon(id: string): Promise<void> {
    const socket = await open(this.#cluster.url);
    const path = `/api/v2/tenants/default_tenant/databases/default_database/collections/${id}/add`;
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{"ids":[`);
    await pause(500);
    socket.destroy();
  }

  async #call(send: () => Promise<{ status: number; text: string }>): Promise<void> {
    this.requests += 1;
    const { status, text } = await send();
    if (status >= 300 && this.failures.length < FAILURES_KEPT) this.failures.push(`${status} ${text}`);
  }
}

function vector(): number[] {
  return Array.from({ length: DIMENSION }, () => Math.round(Math.random() * 1e6) / 1e6);
}

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

async function postgresBytes(cluster: TestCluster): Promise<number> {
  const [row] = await sql<{ bytes: string }>(cluster, 'select pg_database_size(current_database()) as bytes');
  return Number(row?.bytes ?? 0);
}
