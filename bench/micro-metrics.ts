// What counting requests and calls costs: queries of 64 clients with the counters on and off, in alternating pairs of
// short measurements on one cluster. Prints queries per second, and the gateway's processor time for each query, which
// what the nodes do at that moment influences less. Run: npx node bench/micro-metrics.ts [pairs]

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startGateway } from '../src/app/gateway.ts';
import { CallStats } from '../src/chroma/client/call-stats.ts';
import { loadConfig } from '../src/config/config.ts';
import { RequestStats } from '../src/http/request-stats.ts';
import { startLocalCluster } from '../src/local/cluster.ts';
import { findFreePort } from '../src/local/port.ts';
import { Histogram } from '../src/observability/histogram.ts';
import { SlowRequests } from '../src/observability/slow-requests.ts';
import { runClosed } from './load.ts';

const CLIENTS = 64;
const DIMENSION = 128;
const RECORDS = 10_000;
const BLOCK_MS = 3_000;
const WARM_UP_MS = 500;
const PAIRS = 24;
const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

/** Whether the counters count; both ways take the same path up to here. */
const toggle = { isOn: true };
for (const counted of [RequestStats, SlowRequests, CallStats, Histogram]) {
  const prototype = counted.prototype as { observe: (...values: unknown[]) => void };
  const { observe } = prototype;
  prototype.observe = function (this: unknown, ...values: unknown[]): void {
    if (toggle.isOn) observe.apply(this, values);
  };
}

const [, , role, ...words] = process.argv;
if (role === 'load') load(Number(words[0]), words[1] ?? '');
else await measure(Number(role ?? PAIRS));

interface Block {
  /** Queries per second. */
  readonly rate: number;
  /** Processor time of the gateway for one query, µs. */
  readonly cpuUs: number;
}

/** In a process of its own: runs one block for each message, and answers with operations per second. */
function load(port: number, collection: string): void {
  const vector = (): string => JSON.stringify(Array.from({ length: DIMENSION }, () => Math.random()));
  const nextCall = (): { head: Buffer; body: Buffer; operations: number } => {
    const body = Buffer.from(`{"query_embeddings":[${vector()}],"n_results":10}`);
    const head = `POST ${COLLECTIONS}/${collection}/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    return { head: Buffer.from(head), body, operations: 1 };
  };
  process.on('message', () => {
    const block = { clients: CLIENTS, nextCall, warmUpMs: WARM_UP_MS, durationMs: BLOCK_MS };
    void runClosed({ ...block, address: { host: '127.0.0.1', port } }).then(
      ({ operations, elapsedMs, failures }) => {
        if (failures.size > 0) throw new Error(JSON.stringify([...failures]));
        process.send?.((1_000 * operations) / elapsedMs);
      },
    );
  });
}

async function measure(pairs: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polychrome-bench-'));
  const quiet = {
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    debug: () => undefined,
  };
  const local = await startLocalCluster({ dataDir: dir, nodes: 3, logger: quiet });
  const port = await findFreePort();
  const gateway = await startGateway(
    loadConfig({
      DATABASE_URL: local.databaseUrl,
      NODES: local.nodes.map(({ id, url }) => `${id}=${url}`).join(','),
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'silent',
    }),
  );
  await gateway.ready();
  const collection = await fill(port);
  const child = fork(import.meta.filename, ['load', String(port), collection]);
  const block = async (isOn: boolean): Promise<Block> => {
    toggle.isOn = isOn;
    const before = process.cpuUsage();
    child.send('run');
    const [rate] = (await once(child, 'message')) as [number];
    const { user, system } = process.cpuUsage(before);
    return { rate, cpuUs: (user + system) / ((rate * (WARM_UP_MS + BLOCK_MS)) / 1_000) };
  };
  await block(true); // connections, caches and compiled code
  await block(false);
  const rates: number[] = [];
  const costs: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    // Each order as often as the other.
    const first = await block(pair % 2 === 0);
    const second = await block(pair % 2 !== 0);
    const [on, off] = pair % 2 === 0 ? [first, second] : [second, first];
    rates.push(on.rate / off.rate);
    costs.push(on.cpuUs / off.cpuUs);
    console.log(`pair ${pair + 1}: on ${shown(on)}, off ${shown(off)}`);
  }
  console.log(`${pairs} pairs, counters on beside off:`);
  console.log(`queries per second: ${summary(rates)}`);
  console.log(`gateway's processor time for a query: ${summary(costs)}`);
  child.disconnect();
  await gateway.stop();
  for (const { id } of local.nodes) local.killNode(id);
  await local.stop();
  rmSync(dir, { recursive: true, force: true });
}

function shown({ rate, cpuUs }: Block): string {
  return `${rate.toFixed(0)}/s and ${cpuUs.toFixed(0)} µs`;
}

function summary(ratios: readonly number[]): string {
  const sorted = ratios.toSorted((a, b) => a - b);
  const count = sorted.length;
  const at = (rank: number): string =>
    percent(sorted[Math.min(Math.max(Math.round(rank), 0), count - 1)] ?? 1);
  // The ranks between which the true median is with 95 %: the binomial distribution, approximated.
  const spread = (1.96 * Math.sqrt(count)) / 2;
  const middle = (count - 1) / 2;
  return `median ${at(middle)}, 95 % between ${at(Math.floor(middle - spread))} and ${at(Math.ceil(middle + spread))}`;
}

function percent(ratio: number): string {
  return `${(100 * (ratio - 1)).toFixed(2)} %`;
}

async function fill(port: number): Promise<string> {
  const post = async (path: string, body: object): Promise<{ id: string }> => {
    const headers = { 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${port}${COLLECTIONS}${path}`;
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as { id: string };
  };
  const { id } = await post('', { name: 'metrics' });
  for (let from = 0; from < RECORDS; from += 1_000) {
    const ids = Array.from({ length: 1_000 }, (_, n) => `r${from + n}`);
    const embeddings = ids.map(() => Array.from({ length: DIMENSION }, () => Math.random()));
    await post(`/${id}/add`, { ids, embeddings, documents: ids.map((name) => `document ${name}`) });
  }
  return id;
}
