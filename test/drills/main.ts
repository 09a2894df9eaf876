// npm run drills: drills that must not stop a cluster, on real servers. Prints what was checked and measured.

import { spawnSync } from 'node:child_process';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { TestCluster } from '../support/cluster.ts';
import {
  type DrillOptions,
  type DrillResult,
  runDrill,
  type Scenario,
  startDrillCluster,
  stopDrillCluster,
} from './drill.ts';
import { membersFrom } from './members.ts';
import { drillReport, isGood, summary } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { slowNode } from './slow-node.ts';

const whole = (text: string): number => {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('must be a whole number below 10^9.');
};

interface Options {
  readonly seed: number;
  readonly only?: readonly string[];
  readonly members: number;
  readonly slowNode?: true | 'replica' | 'primary';
  readonly oneCpu?: true;
  readonly list?: true;
}

const options = new Command('drills')
  .description(
    'Hostile and bulk loads on three nodes beside paced reads and writes; every node is inspected.',
  )
  .option('--seed <n>', 'draws the same members again', whole, Date.now() % 1_000_000)
  .option('--only <name...>', 'only these scenarios; a name that ends with * names all that begin so')
  .option('--members <n>', 'further members of each kind drawn from the seed', whole, 2)
  .addOption(
    new Option('--slow-node [role]', 'one node at a tenth of its speed').choices(['replica', 'primary']),
  )
  .option('--one-cpu', 'all processes on one CPU (Linux)')
  .option('--list', 'lists the scenarios of this seed and ends')
  .parse()
  .opts<Options>();

/** Set in the process that already runs on one CPU; its children inherit that. */
const PINNED = 'DRILLS_PINNED';
/** As slow as a node or a machine is made, times out later. */
const SLOW_SETTINGS = { WRITE_TIMEOUT_MS: '120000' };
const SLOW_FACTOR = 10;

if (options.oneCpu === true && process.env[PINNED] === undefined) {
  const { status } = spawnSync('taskset', ['-c', '0', process.execPath, ...process.argv.slice(1)], {
    env: { ...process.env, [PINNED]: '1' },
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

const chosen = chooseScenarios([...SCENARIOS, ...membersFrom(options.seed, options.members)], options.only);
if (options.list === true) {
  for (const { name, about } of chosen) console.log(`${name.padEnd(16)} ${about}`);
  process.exit(0);
}

console.log(`seed ${options.seed}, ${chosen.length} scenarios`);
const results: DrillResult[] = [];
const broken: string[] = [];
for (const scenario of chosen) {
  try {
    const result = await drillAlone(scenario);
    results.push(result);
    console.log(`${drillReport(result)}\n`);
  } catch (error) {
    // What a drill cannot finish is a fault of its own; the others still say what they can.
    broken.push(scenario.name);
    console.error(`${scenario.name}: ${scenario.about}\n  could not be finished:`, error);
  }
}
if (results.length > 0) console.log(summary(results));
const bad = [...results.filter((result) => !isGood(result)).map(({ scenario }) => scenario.name), ...broken];
console.log(bad.length === 0 ? 'All is well.' : `FAULTS (seed ${options.seed}): ${bad.join(', ')}`);
process.exit(bad.length === 0 ? 0 : 1);

function chooseScenarios(
  all: readonly Scenario[],
  names: readonly string[] | undefined,
): readonly Scenario[] {
  if (names === undefined) return all;
  const isNamed = ({ name }: Scenario): boolean =>
    names.some((given) => (given.endsWith('*') ? name.startsWith(given.slice(0, -1)) : name === given));
  const found = all.filter(isNamed);
  if (found.length === 0) {
    console.error(`No scenario is named ${names.join(' or ')}; --list shows them.`);
    process.exit(2);
  }
  return found;
}

/** The processes of a cluster outlive this one unless they are stopped. */
function stopOnSignals(cluster: TestCluster): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.removeAllListeners(signal);
    process.once(signal, () => void cluster.stop().finally(() => process.exit(1)));
  }
}

/** On a cluster of its own: what one drill leaves behind must not be another's finding. */
async function drillAlone(scenario: Scenario): Promise<DrillResult> {
  const isSlow = options.slowNode !== undefined || options.oneCpu === true;
  const cluster = await startDrillCluster(isSlow ? SLOW_SETTINGS : {});
  stopOnSignals(cluster);
  let result: DrillResult;
  try {
    result = await runDrill(cluster, scenario, await drillOptions(cluster));
  } catch (error) {
    await stopDrillCluster(cluster);
    throw error;
  }
  const fault = await stopDrillCluster(cluster);
  return fault === null
    ? result
    : { ...result, findings: [...result.findings, { check: 'the gateway ends', faults: [fault] }] };
}

async function drillOptions(cluster: TestCluster): Promise<DrillOptions> {
  const { seed, slowNode: role, oneCpu } = options;
  const slowness = role === undefined && oneCpu === undefined ? 1 : SLOW_FACTOR;
  if (role === undefined) return { seed, slowness };
  const primary = await cluster.primary();
  const replica = cluster.local.nodes.find(({ id }) => id !== primary)!.id;
  const disturb = (): (() => void) => slowNode(cluster, role === 'primary' ? primary : replica);
  // A slow primary may be replaced once, and until then other writes are as slow as it is.
  const limits = role === 'primary' ? { primaryChangesMax: 1, flowMsMax: SLOW_FACTOR * 60_000 } : {};
  return { seed, slowness, disturb, limits };
}
