// One drill: a hostile load on a cluster of real servers, beside paced reads and small writes, and its history.

import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { TestCluster } from '../support/cluster.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { until } from '../support/until.ts';
import {
  OLD_RECORDS,
  oldId,
  oldVector,
  Reader,
  sentWrite,
  StatusWatch,
  type Target,
  Writer,
} from './beside.ts';
import { findings, type Finding, LIMITS, type Limits } from './checks.ts';
import type { Ending, History, SentRead, SentWrite } from './history.ts';
import { type Content, type Ledger, indexFolder, keepQueue, readNodeFiles } from './node-files.ts';
import { checkedRead, send } from './requests.ts';

const DATABASE = '/api/v2/tenants/default_tenant/databases/default_database';

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Sends the load; resolves when each request has its response. */
  readonly run: (drill: Drill) => Promise<void>;
}

export interface DrillOptions {
  readonly seed: number;
  /** How many times slower than usual the machine or a node is. */
  readonly slowness?: number;
  /** For the other nodes to apply what the primary has, at usual speed. */
  readonly settleMsMax?: number;
  /** Limits other than the usual ones. */
  readonly limits?: Partial<Limits>;
  /** Disturbs the cluster from before the load until every node has applied it; its result ends that. */
  readonly disturb?: (cluster: TestCluster) => () => void;
}

export interface DrillResult {
  readonly scenario: Scenario;
  readonly history: History;
  readonly findings: readonly Finding[];
}

/** Time for all nodes to apply what the primary has; several calls of 40 MiB take minutes on two processors. */
const SETTLE_MS_MAX = 240_000;

/** Three nodes, which keep their queues, and a gateway in a process of its own. */
export async function startDrillCluster(
  settings: Readonly<Record<string, string>> = {},
): Promise<TestCluster> {
  // The lease is as long as in production: shorter ones are for tests that kill gateways.
  const cluster = await TestCluster.start({ ownProcess: {}, settings: { LEASE_MS: '5000', ...settings } });
  for (const { dataDir } of cluster.local.nodes) keepQueue(dataDir);
  return cluster;
}

/** Longer than the gateway lets requests and nodes finish. */
const STOP_MS_MAX = 30_000;

/** Stops everything; what is wrong with how the gateway ended, null when nothing is. */
export async function stopDrillCluster(cluster: TestCluster): Promise<string | null> {
  const gateway = cluster.process;
  const hasEnded = async (): Promise<boolean> => gateway.exitCode !== null || gateway.signalCode !== null;
  gateway.kill('SIGTERM');
  const fault = await until(hasEnded, 'the gateway has ended', STOP_MS_MAX).then(
    () => null,
    () => `the gateway did not end within ${STOP_MS_MAX / 1_000} s of SIGTERM`,
  );
  if (fault !== null) await cluster.stopGateway('SIGKILL');
  await cluster.stop();
  return fault;
}

/** A load takes minutes on a slow machine; each attempt waits for WRITE_TIMEOUT_MS. */
const REPEATS_MAX = 40;

const isBackpressure = ({ status, text }: { readonly status: number; readonly text: string }): boolean =>
  status === 503 && text.includes('earlier writes to apply; nothing was changed');

let drills = 0;

/** What a scenario sends goes through here, and is on record. */
export class Drill {
  readonly cluster: TestCluster;
  readonly random: () => number;
  /** Begins the name of everything this drill makes, and of nothing else. */
  readonly prefix: string;
  readonly writes: SentWrite[] = [];
  readonly reads: SentRead[] = [];
  readonly #broken = new Map<string, Set<string>>();

  constructor(cluster: TestCluster, name: string, seed: number) {
    this.cluster = cluster;
    this.random = seededRandom(seed);
    this.prefix = `hold-${++drills}-${name}-`;
  }

  get broken(): Limits['broken'] {
    return this.#broken;
  }

  async collection(suffix: string): Promise<Target> {
    const name = this.prefix + suffix;
    const id = await this.cluster.api.create(name);
    return { name, url: `${this.cluster.url}${DATABASE}/collections/${id}` };
  }

  async write(
    target: Target,
    body: object,
    sent: Pick<SentWrite, 'operation' | 'ids' | 'expected'>,
  ): Promise<SentWrite> {
    const text = JSON.stringify(body);
    let response = await send('POST', `${target.url}/${sent.operation}`, text);
    // As a client does that is asked to: nothing was appended.
    for (let n = 0; n < REPEATS_MAX && isBackpressure(response); n++)
      response = await send('POST', `${target.url}/${sent.operation}`, text);
    const write = sentWrite(target.name, response, sent);
    this.writes.push(write);
    return write;
  }

  /** A read that must be refused with a status from 400 to 499. */
  async refusedRead(target: Target, action: string, body: object): Promise<void> {
    const response = await send('POST', `${target.url}/${action}`, JSON.stringify(body));
    const refused = response.status >= 400 && response.status < 500;
    const fault = refused ? null : `${response.status} ${response.text.slice(0, 200)}`;
    this.reads.push({ what: `${action} that must be refused`, fault, tookMs: response.tookMs });
  }

  async rightRead(
    target: Target,
    action: string,
    body: object,
    isRight: (value: unknown) => boolean,
  ): Promise<void> {
    const response = await send('POST', `${target.url}/${action}`, JSON.stringify(body));
    this.reads.push(checkedRead(action, response, isRight));
  }

  /** From now on this node answers 500 to writes of the collection: a file stands where its index should be. */
  breakIndex(node: string, target: Target): void {
    const { dataDir } = this.cluster.local.nodes.find(({ id }) => id === node)!;
    const folder = indexFolder(dataDir, target.name);
    rmSync(folder, { recursive: true, force: true });
    writeFileSync(folder, 'not a folder');
    const collections = this.#broken.get(node) ?? new Set<string>();
    this.#broken.set(node, collections.add(target.name));
  }
}

export async function runDrill(
  cluster: TestCluster,
  scenario: Scenario,
  { seed, slowness = 1, settleMsMax = SETTLE_MS_MAX, limits: given = {}, disturb }: DrillOptions,
): Promise<DrillResult> {
  const drill = new Drill(cluster, scenario.name, seed);
  const reader = new Reader(await oldCollection(drill), seededRandom(seed + 1));
  const writer = new Writer(await drill.collection('other'));
  const watch = new StatusWatch(
    () => cluster.status(),
    (id) => cluster.local.nodes.find((node) => node.id === id)?.pid() ?? null,
  );
  await cluster.allServe();
  takePeak(cluster);
  const [reading, writing] = [new AbortController(), new AbortController()];
  const beside = [reader.run(reading.signal), watch.run(reading.signal)];
  const writes = writer.run(writing.signal);
  const calm = disturb?.(cluster);
  let flowMs: number | null = null;
  try {
    await scenario.run(drill);
    flowMs = await untilWritesFlow(writer, slowness * LIMITS.flowMsMax);
    await applied(cluster, slowness * settleMsMax);
  } finally {
    calm?.();
    writing.abort();
    await writes;
    await cluster.allServe().catch(() => undefined);
    reading.abort();
    await Promise.all(beside);
  }
  const history: History = {
    load: drill.writes,
    loadReads: drill.reads,
    otherWrites: writer.writes,
    otherReads: reader.reads,
    samples: watch.samples,
    flowMs,
    rssMaxBytes: takePeak(cluster),
    ...(await endingOf(cluster, drill.prefix)),
  };
  const limits: Limits = { ...LIMITS, ...given, broken: drill.broken };
  return { scenario, history, findings: findings(history, limits) };
}

async function oldCollection(drill: Drill): Promise<Target> {
  const target = await drill.collection('old');
  const numbers = Array.from({ length: OLD_RECORDS }, (_, n) => n);
  const ids = numbers.map(oldId);
  const documents = ids.map((id) => `the document of ${id}`);
  const body = { ids, documents, embeddings: numbers.map(oldVector) };
  await drill.write(target, body, { operation: 'add', ids, expected: 'applied' });
  return target;
}

/** How long a write sent now, and repeated as another one while it is not acknowledged, takes. */
async function untilWritesFlow(writer: Writer, limitMs: number): Promise<number | null> {
  const started = performance.now();
  const isApplied = async (): Promise<boolean> => (await writer.write()).outcome === 'applied';
  return until(isApplied, 'another collection takes a write', limitMs).then(
    () => performance.now() - started,
    () => null,
  );
}

/** Resolves when every node has applied what was the head when it was called, or the time for that is over. */
async function applied(cluster: TestCluster, limitMs: number): Promise<void> {
  const { head } = await cluster.status();
  const isApplied = async (): Promise<boolean> =>
    (await cluster.status()).nodes.every(({ checkpoint }) => checkpoint >= head);
  await until(isApplied, 'every node has applied the load', limitMs).catch(() => undefined);
}

/** The largest resident set since it was last asked for (proc(5), clear_refs); null outside Linux. */
function takePeak(cluster: TestCluster): number | null {
  if (process.platform !== 'linux') return null;
  const { pid } = cluster.process;
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1]) * 1024;
}

async function endingOf(
  cluster: TestCluster,
  prefix: string,
): Promise<Pick<History, 'ending' | 'ledgers' | 'contents'>> {
  const status = await cluster.status();
  const unreadable = new Map<string, string>();
  const ending: Ending = {
    unreadable,
    head: status.head,
    checkpoints: new Map(status.nodes.map(({ id, checkpoint }) => [id, checkpoint])),
    states: new Map(status.nodes.map(({ id, state }) => [id, state])),
    suspects: new Map(
      status.nodes.map(({ id, suspects }) => [
        id,
        new Set(suspects.map(({ name }) => name).filter((name) => name.startsWith(prefix))),
      ]),
    ),
  };
  const ledgers = new Map<string, Ledger>();
  const contents = new Map<string, ReadonlyMap<string, Content>>();
  for (const { id, dataDir } of cluster.local.nodes) {
    try {
      const files = readNodeFiles(dataDir, prefix);
      contents.set(id, await withServed(cluster, id, files.contents));
      ledgers.set(id, files.ledger);
    } catch (error) {
      // A server that still works on a call may lock its file, or not respond.
      unreadable.set(id, (error as Error).message);
    }
  }
  return { ending, ledgers, contents };
}

const SERVED_RECORDS = 50;

/** Adds what the node itself responds with: its count, and some records with the vectors of its index. */
async function withServed(
  cluster: TestCluster,
  node: string,
  contents: ReadonlyMap<string, Content>,
): Promise<ReadonlyMap<string, Content>> {
  const bare = cluster.node(node);
  const listed = JSON.parse((await bare.collections()).text) as { id: string; name: string }[];
  const found = new Map<string, Content>();
  for (const [name, content] of contents) {
    const id = listed.find((each) => each.name === name)?.id ?? '';
    const count = await bare.records(id, 'count');
    const records = await bare.records(id, 'get', { limit: SERVED_RECORDS, include: ['embeddings'] });
    const served = createHash('sha256')
      .update(`${count.text} ${records.status} ${records.text}`)
      .digest('hex');
    found.set(name, { ...content, served });
  }
  return found;
}
