// The demo, from top to bottom: real text in, servers killed meanwhile, and an account of what is left.
import { fileURLToPath } from 'node:url';
import { StartupError } from '../src/errors.ts';
import { systemClock as clock } from '../src/util/clock.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { type Chunk, chunksOf, readCorpus } from './corpus.ts';
import { embed } from './embedding.ts';
import { readNode } from './node-content.ts';
import { type DemoOptions, parseOptions } from './options.ts';
import { Progress } from './progress.ts';
import { hitLines, report } from './report.ts';
import { questionsFrom } from './searches.ts';
import { allServing, isLevel, killNode, type NodeStatus, readStatus, waitForStatus } from './status.ts';
import { type TextRecord, Traffic } from './traffic.ts';
import { type Evidence, judge, type NodeReading } from './verdict.ts';

// A killed server is restarted, checked, and has to follow what was written meanwhile, on a busy machine.
const LEVEL_MS_MAX = 120_000;
// Far enough in that the kill meets a working cluster, early enough that half the work is left to do without it.
const KILL_AT = 0.4;
// A few seconds of searching on two cores.
const SEARCHES = 1500;

const print = (text: string): unknown => process.stdout.write(`${text}\n`);
const progress = (label: string, total: number): Progress =>
  new Progress(label, total, { output: process.stdout, clock });

const run = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!run.signal.aborted) print('\nInterrupted: cleaning up.');
    run.abort(new StartupError('Interrupted.'));
    process.exitCode = 130;
  });
}
try {
  const passed = await demo(parseOptions(process.argv.slice(2)), run.signal);
  process.exitCode ??= passed ? 0 : 1;
} catch (caught) {
  const error: unknown = run.signal.aborted ? run.signal.reason : caught;
  if (!(error instanceof StartupError)) throw error;
  if (process.exitCode !== 130) console.error(error.message);
  process.exitCode ??= 1;
}

async function demo(options: DemoOptions, signal: AbortSignal): Promise<boolean> {
  const { documents, records } = await prepare(options, signal);
  signal.throwIfAborted();
  const cluster = await open(options, signal);
  try {
    const traffic = await Traffic.open(cluster.endpoint, run);
    try {
      const evidence = { ...(await exercise(cluster, traffic, { records, options, signal })), documents };
      const verdict = judge(evidence);
      print(`\n${report(evidence, verdict, traffic.tally.reasons)}`);
      return verdict.faults.length === 0;
    } finally {
      if (options.endpoint !== null) await traffic.remove();
    }
  } finally {
    await cluster.stop();
  }
}

/** Text, chunks and embeddings, before any clock runs: computing them would look like a slow server. */
async function prepare(
  options: DemoOptions,
  signal: AbortSignal,
): Promise<{ documents: number; records: TextRecord[] }> {
  const folder = options.folder ?? fileURLToPath(new URL('../node_modules', import.meta.url));
  const corpus = await readCorpus({
    folder,
    documentsMax: options.documentsMax,
    markdownOnly: options.folder === null,
    signal,
  });
  const records = corpus.documents.flatMap(chunksOf).map(embedded);
  const { length } = corpus.documents;
  print(`${length} documents, ${records.length} chunks from ${folder}`);
  if (corpus.cut) print(`  there are more; --documents takes more than the first ${length}`);
  if (corpus.skipped > 0)
    print(`  ${corpus.skipped} files or folders passed over: unreadable, large or not text`);
  return { documents: length, records };
}

function embedded({ id, document, metadata }: Chunk): TextRecord {
  return { id, document, metadata, embedding: embed(document) };
}

async function open(options: DemoOptions, signal: AbortSignal): Promise<Cluster> {
  if (options.endpoint !== null) return { endpoint: options.endpoint, stop: async () => {} };
  print(`Starting PostgreSQL, ${options.nodes} Chroma servers and the gateway …`);
  const startMs = clock.monotonic();
  const cluster = await startCluster({
    command: [process.execPath, fileURLToPath(new URL('../src/main.ts', import.meta.url))],
    nodes: options.nodes,
    signal,
    onExit: (reason) => run.abort(reason),
  });
  print(`Ready after ${((clock.monotonic() - startMs) / 1000).toFixed(1)} s at ${cluster.endpoint}`);
  return cluster;
}

interface Exercise {
  readonly records: readonly TextRecord[];
  readonly options: DemoOptions;
  readonly signal: AbortSignal;
}

/** Writes, searches and kills, with a reader and a writer that never pause; then reads what each node holds. */
async function exercise(
  { endpoint }: Cluster,
  traffic: Traffic,
  { records, options, signal }: Exercise,
): Promise<Omit<Evidence, 'documents'>> {
  const stopPulses = new AbortController();
  const pulsing = AbortSignal.any([signal, stopPulses.signal]);
  const killed: NodeStatus[] = [];
  await waitForStatus({
    endpoint,
    until: (status) => allServing(status, []),
    timeoutMs: LEVEL_MS_MAX,
    signal,
  });
  // The reader needs something to find.
  await traffic.add(records.slice(0, options.batch));
  const pauses = Promise.all([traffic.writePulse(pulsing), traffic.readPulse(pulsing)]);
  try {
    killed.push(await indexAndKillPrimary(endpoint, traffic, { records, options, signal }));
    await printSearches(traffic, records);
    print('Waiting until every node serves again …');
    await waitForStatus({
      endpoint,
      until: (status) => allServing(status, killed),
      timeoutMs: LEVEL_MS_MAX,
      signal,
    });
    killed.push(await searchAndKillReplica(endpoint, traffic, { records, options, signal }));
  } finally {
    stopPulses.abort();
  }
  const [longestWritePauseMs, longestReadPauseMs] = await pauses;
  const { sent, failed } = traffic.tally;
  const held = await readNodes(endpoint, traffic, { killed, signal });
  const { acknowledged } = traffic;
  return {
    chunks: records.length,
    sent,
    failed,
    longestWritePauseMs,
    longestReadPauseMs,
    acknowledged,
    ...held,
  };
}

async function indexAndKillPrimary(
  endpoint: string,
  traffic: Traffic,
  { records, options, signal }: Exercise,
): Promise<NodeStatus> {
  const { batch, writers } = options;
  const bar = progress('Indexing ', records.length);
  bar.advance(Math.min(batch, records.length));
  const starts = range(batch, records.length, batch);
  const indexing = withWorkers(writers, starts, async (start) => {
    signal.throwIfAborted();
    const next = records.slice(start, start + batch);
    await traffic.add(next);
    bar.advance(next.length);
  });
  const [victim] = await Promise.all([killAt(bar, endpoint, 'primary'), indexing]);
  return victim;
}

async function searchAndKillReplica(
  endpoint: string,
  traffic: Traffic,
  { records, options, signal }: Exercise,
): Promise<NodeStatus> {
  const bar = progress('Searching', SEARCHES);
  const searching = withWorkers(options.writers, range(0, SEARCHES, 1), async (n) => {
    signal.throwIfAborted();
    // A step of 7 visits the chunks in another order than they were written in.
    await traffic.search(records[(n * 7) % records.length]!.embedding, 5);
    bar.advance(1);
  });
  const [victim] = await Promise.all([killAt(bar, endpoint, 'replica'), searching]);
  return victim;
}

async function killAt(bar: Progress, endpoint: string, role: NodeStatus['role']): Promise<NodeStatus> {
  await bar.reached(KILL_AT);
  run.signal.throwIfAborted();
  const victim = await killNode(endpoint, role);
  bar.note(`Killed the ${role}, node ${victim.id} (kill -9 ${victim.pid}), in the middle of it`);
  return victim;
}

async function printSearches(traffic: Traffic, records: readonly TextRecord[]): Promise<void> {
  for (const question of questionsFrom(records, 3)) {
    const hits = await traffic.search(embed(question.phrase), 3);
    if (hits) print(`\n${hitLines(question, hits)}`);
  }
  print('');
}

/** What every node holds once all are level; or, with the reason, what they hold when they never are. */
async function readNodes(
  endpoint: string,
  traffic: Traffic,
  { killed, signal }: { killed: readonly NodeStatus[]; signal: AbortSignal },
): Promise<Pick<Evidence, 'nodes' | 'notLevel'>> {
  print('Waiting until every node has applied the whole log …');
  let notLevel: string | null = null;
  try {
    await waitForStatus({
      endpoint,
      until: (status) => isLevel(status, killed),
      timeoutMs: LEVEL_MS_MAX,
      signal,
    });
  } catch (error) {
    if (!(error instanceof StartupError) || signal.aborted) throw error;
    notLevel = error.message;
  }
  const { nodes } = await readStatus(endpoint);
  const readings: NodeReading[] = [];
  for (const { id, role, url } of nodes) {
    const reading = readNode(url.replace(/\/$/u, ''), traffic.acknowledged.keys());
    const content = await reading.catch((error: unknown) => new Error(String(error), { cause: error }));
    readings.push({ id, role, content });
  }
  return { nodes: readings, notLevel };
}

function range(from: number, below: number, step: number): number[] {
  return Array.from({ length: Math.max(0, Math.ceil((below - from) / step)) }, (_, i) => from + i * step);
}

/** Runs `work` for every item, `workers` at a time, in order of start. */
async function withWorkers<T>(
  workers: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
