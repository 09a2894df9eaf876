// Micro-benchmark of several gateways: writes through one that leads and one that follows, and reads of one process and of
// two workers. Run: node bench/micro-gateways.ts

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startLocalCluster } from '../src/local/cluster.ts';
import { findFreePort } from '../src/local/port.ts';
import { chromaCommand } from '../test/support/chroma-server.ts';
import { GatewayProcess } from '../test/support/gateway-process.ts';
import { until } from '../test/support/until.ts';
import { Bodies } from './bodies.ts';
import { failureCount, runClosed, type Outcome } from './load.ts';
import { Collection, Server } from './server.ts';
import { FULL } from './settings.ts';
import { median, percentile } from './statistics.ts';
import { closedWorkloads, type Workload } from './workloads.ts';

const ROUNDS = 5;
const WARM_UP_MS = 1_000;
const DURATION_MS = 3_000;

const quiet = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

const p50Of = ({ latenciesMs }: Outcome): number => percentile(latenciesMs, 0.5);
const rateOf = ({ operations, elapsedMs }: Outcome): number => (operations / elapsedMs) * 1_000;

const dir = mkdtempSync(join(tmpdir(), 'polychrome-gateways-'));
const cluster = await startLocalCluster({
  dataDir: join(dir, 'data'),
  nodes: 3,
  chroma: chromaCommand,
  logger: quiet,
});
const environment = {
  DATABASE_URL: cluster.databaseUrl,
  NODES: cluster.nodes.map(({ id, url }) => `${id}=${url}`).join(','),
  HOST: '127.0.0.1',
  LOG_LEVEL: 'silent',
};
const bodies = new Bodies(FULL);
const workloads = closedWorkloads(bodies);
try {
  await compareWrites();
  await compareReads();
} finally {
  await cluster.stop();
  rmSync(dir, { recursive: true, force: true });
}

function workload(name: string): Workload {
  const found = workloads.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no workload ${name}`);
  return found;
}

function serverOf({ url, pid }: GatewayProcess): Server {
  const { hostname: host, port } = new URL(url);
  return new Server({ address: { host, port: Number(port) }, gatewayPid: pid, stop: async () => undefined });
}

async function measure(name: string, server: Server, collection: Collection): Promise<Outcome> {
  const { parts, clients } = workload(name);
  const [part] = parts;
  if (part === undefined) throw new Error(`${name} has no part`);
  const supply = part.supply(1);
  const outcome = await runClosed({
    address: server.address,
    clients,
    nextCall: () => collection.call(part.operation, supply),
    warmUpMs: WARM_UP_MS,
    durationMs: DURATION_MS,
  });
  if (failureCount(outcome) > 0) throw new Error(`calls failed: ${[...outcome.failures].join('; ')}`);
  return outcome;
}

/** Rounds alternate, so that slow phases of the machine spread over both. */
async function compareWrites(): Promise<void> {
  const leader = await GatewayProcess.start(environment);
  await until(() => leader.leads(), 'the first gateway leads');
  const follower = await GatewayProcess.start(environment);
  const servers = { leader: serverOf(leader), follower: serverOf(follower) };
  const { id } = await bodies.open(servers.leader, 'written');
  const found = { leader: [] as number[], follower: [] as number[] };
  for (let round = 0; round < ROUNDS; round++)
    for (const role of ['leader', 'follower'] as const)
      found[role].push(p50Of(await measure('add_c1', servers[role], new Collection(servers[role], id))));
  for (const role of ['leader', 'follower'] as const)
    console.log(`add_c1 through the ${role}: p50 ${median(found[role]).toFixed(2)} ms`);
  await Promise.all([leader.stop(), follower.stop()]);
}

async function compareReads(): Promise<void> {
  let id: string | null = null;
  for (const workers of [1, 2]) {
    const ports = { ADMIN_PORT: String(await findFreePort()), WORKERS: String(workers) };
    const serve = await GatewayProcess.start({ ...environment, ...ports });
    await until(async () => {
      const { gateways } = (await (await fetch(`${serve.url}/status`)).json()) as { gateways: unknown[] };
      return gateways.length === workers;
    }, 'every worker is registered');
    const server = serverOf(serve);
    id ??= (await bodies.open(server, 'read')).id;
    const collection = new Collection(server, id);
    for (const name of ['query_zipf_c64', 'get_c64']) {
      const rates: number[] = [];
      for (let round = 0; round < ROUNDS; round++)
        rates.push(rateOf(await measure(name, server, collection)));
      console.log(`${name}, ${workers} workers: ${Math.round(median(rates))} calls/s`);
    }
    await collection.settle();
    await serve.stop();
  }
}
