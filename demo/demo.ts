// Indexes real text on a temporary cluster, kills servers meanwhile, and checks the content of every node.
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { Listr } from 'listr2';
import { StartupError } from '../src/errors.ts';
import { brokenPromises, checkNode } from './check.ts';
import { killServer, readStatus, startCluster, waitForNodes } from './cluster.ts';
import { readCorpus, type TextRecord } from './corpus.ts';
import { Workload } from './workload.ts';

const BATCH_RECORDS = 32;
// A few seconds of searching on two cores.
const SEARCHES = 1500;
// The share of the work after which a server is killed.
const KILL_AT = 0.4;

const command = new Command('demo')
  .usage('[FOLDER] [options]')
  .description(
    'Indexes real text on a temporary cluster, kills two Chroma servers meanwhile, and checks every node.\n' +
      'Exits with 0 only if no request failed and every node holds exactly the acknowledged records.',
  )
  .argument('[FOLDER]', 'folder of text files to index (default: the Markdown files under node_modules)')
  .option('--documents <N>', 'index the first N documents', integer(1, 100_000), 300)
  .option('--nodes <N>', 'Chroma servers to start', integer(2, 9), 3)
  .option('--clients <N>', 'concurrent clients', integer(1, 64), 4)
  .addHelpText('after', '\nExample: npm run demo -- ~/notes --documents 50 --nodes 5 --clients 8')
  .parse();
const options = command.opts<{ documents: number; nodes: number; clients: number }>();
// Some terminals report no width; the live display would wrap every character.
const isLive = process.stdout.isTTY && process.stdout.columns > 0;

const run = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    process.exitCode = 130;
    run.abort(new StartupError('Interrupted.'));
  });
}
try {
  const passed = await demo(command.args[0]);
  process.exitCode ??= passed ? 0 : 1;
} catch (caught) {
  process.exitCode ??= 1;
  const error: unknown = run.signal.aborted ? run.signal.reason : caught;
  // The failed step has shown the message of a StartupError.
  if (!(error instanceof StartupError)) console.error(error);
}

async function demo(folder: string | undefined): Promise<boolean> {
  const { records } = await step('Read text', async (task) => {
    const corpus = await readCorpus({
      folder: folder ?? fileURLToPath(new URL('../node_modules', import.meta.url)),
      pattern: folder === undefined ? '**/*.{md,markdown}' : '**/*',
      documentsMax: options.documents,
      signal: run.signal,
    });
    task.title = `Read ${corpus.documents} documents (${corpus.records.length} chunks)`;
    return corpus;
  });
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  const { endpoint, stop } = await step(
    `Start PostgreSQL, ${options.nodes} Chroma servers and the gateway`,
    () => startCluster([main], options.nodes, run),
  );
  let result: Result;
  try {
    result = await exercise(endpoint, records);
  } finally {
    await step('Stop the cluster and remove its data', stop);
  }
  return report(result);
}

type Result = Awaited<ReturnType<typeof exercise>>;

/** Kills servers while clients write and search, with a steady writer and reader; then checks every node. */
async function exercise(endpoint: string, records: readonly TextRecord[]) {
  const workload = await Workload.create(endpoint, run);
  // The reader needs a record to find.
  if (!(await workload.add([{ ...records[0]!, id: 'first' }])))
    throw new Error([...workload.failures].join());
  const stop = new AbortController();
  const signal = AbortSignal.any([run.signal, stop.signal]);
  const pauses = Promise.all([workload.writeSteadily(signal), workload.readSteadily(signal)]);
  try {
    await repeat('Write', Math.ceil(records.length / BATCH_RECORDS), {
      send: (n) => workload.add(records.slice(n * BATCH_RECORDS, (n + 1) * BATCH_RECORDS)),
      kill: () => killServer(endpoint, 'primary'),
    });
    await step('Wait until every node serves', () => waitForNodes(endpoint, Infinity, run.signal));
    await repeat('Search', SEARCHES, {
      send: (n) => workload.search(records[(n * 7) % records.length]!.embedding),
      kill: () => killServer(endpoint, 'replica'),
    });
  } finally {
    stop.abort();
  }
  const [writePauseMs, readPauseMs] = await pauses;
  const checks = await step('Read every node and compare it with the acknowledged records', async () => {
    await waitForNodes(endpoint, 0, run.signal);
    const { nodes } = await readStatus(endpoint);
    return Promise.all(nodes.map((node) => checkNode(node, workload.acknowledged)));
  });
  return { workload, writePauseMs, readPauseMs, checks };
}

/** Sends requests 0 to `count` - 1, several at a time, and kills a server in between. */
function repeat(
  title: string,
  count: number,
  { send, kill }: { send: (n: number) => Promise<boolean>; kill: () => Promise<string> },
): Promise<void> {
  return step(title, async (task) => {
    let done = 0;
    const numbers = Array(count).keys();
    const client = async (): Promise<void> => {
      for (const n of numbers) {
        run.signal.throwIfAborted();
        await send(n);
        const percent = Math.floor((++done * 100) / count);
        if (isLive) task.title = `${title} ${'█'.repeat(percent / 4).padEnd(25, '░')} ${percent} %`;
        else if (done % Math.ceil(count / 10) === 0) task.output = `${percent} %`;
        if (done === Math.ceil(count * KILL_AT)) task.output = await kill();
      }
    };
    await Promise.all(Array.from({ length: options.clients }, client));
  });
}

/** Prints the result; returns true when no promise was broken. */
function report({ workload, writePauseMs, readPauseMs, checks }: Result): boolean {
  const style = { head: [], border: [], compact: true };
  const table = new Table({ head: ['node', 'records', 'lost', 'unexpected', 'content digest'], style });
  table.push(...checks.map((node) => [node.id, node.records, node.lost, node.unexpected, node.digest]));
  console.log(`
${workload.acknowledged.length} records acknowledged; ${workload.requests} requests sent, ${workload.failed} failed
Longest pause: writes ${Math.round(writePauseMs)} ms, reads ${Math.round(readPauseMs)} ms
${table.toString()}`);
  for (const failure of workload.failures) console.log(failure);
  const broken = brokenPromises(workload, checks);
  for (const promise of broken) console.log(styleText('red', `FAILED: ${promise}`));
  if (broken.length > 0) return false;
  console.log(styleText('green', 'PASSED: every node holds exactly the acknowledged records.'));
  return true;
}

type Task = { title: string; output: string };

/** Shows a step while `work` runs; returns its result. */
async function step<T>(title: string, work: (task: Task) => Promise<T>): Promise<T> {
  const task = async (context: { result?: T }, display: Task) => {
    context.result = await work(display);
  };
  const list = [{ title, task, rendererOptions: { persistentOutput: true, outputBar: Infinity } }];
  const renderer = isLive ? 'default' : 'simple';
  return (await new Listr(list, { renderer, registerSignalListeners: false }).run({})).result as T;
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}
