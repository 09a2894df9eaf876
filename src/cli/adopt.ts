// `polychrome adopt`: takes the collections of a running Chroma server into a new cluster, or shows what that would mean.

import { Command } from 'commander';
import { runAdoption } from '../app/adoption.ts';
import { loadConfig } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { columns, printable } from './command-context.ts';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';

const EXAMPLES = `
Examples, in the environment of the gateway (DATABASE_URL, and PRIMARY_URL or NODES):
  polychrome adopt --dry-run            what the servers hold, what stands in the way, how long copying takes
  polychrome adopt
  polychrome adopt --tenant acme --tenant globex
  polychrome adopt --rebuild replica    the content of this server is removed and copied anew

Stop everything else that writes to the server first. Its content is only read; afterwards start the gateway, which copies
the collections to the other servers while it serves. "polychrome serve" with ADOPT=true does the same at its first start.
Exit code 0: adopted, or --dry-run found nothing in the way. 1: refused; nothing was changed. 2: --dry-run found a hazard.`;

interface AdoptOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly tenant: readonly string[];
  readonly rebuild?: string;
}

const HAZARD_CODE = 2;

export function adoptCommand(context: OperationContext = OPERATION_PROCESS): Command {
  const collect = (value: string, all: readonly string[]): string[] => [...all, value];
  return new Command('adopt')
    .description('Takes the collections of a running Chroma server into a new cluster, under their ids.')
    .option('--dry-run', 'read the servers and report; change nothing')
    .option('--tenant <name>', 'a tenant beside default_tenant; Chroma cannot list them', collect, [])
    .option('--rebuild <ids>', 'nodes whose content is to be removed and copied anew, separated by commas')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action((options: AdoptOptions) => adopt(options, context));
}

async function adopt(
  options: AdoptOptions,
  { env, write, progress, setExitCode }: OperationContext,
): Promise<void> {
  const { dryRun: isDryRun = false, json, tenant, rebuild } = options;
  const loaded = loadConfig(env);
  const config = {
    ...loaded,
    ADOPT_TENANTS: [...new Set([...loaded.ADOPT_TENANTS, ...tenant])],
    ADOPT_REBUILD: rebuild === undefined ? loaded.ADOPT_REBUILD : rebuild.split(',').map((id) => id.trim()),
  };
  const unknown = config.ADOPT_REBUILD.find((id) => !config.nodes.some((node) => node.id === id));
  if (unknown !== undefined) throw new StartupError(`There is no node "${unknown}" in NODES.`);
  let phase = '';
  const adopted = await runAdoption(config, {
    isDryRun,
    report: (found) => {
      if (json === true || found.phase === phase) return;
      phase = found.phase;
      progress.write(`${printable(`adopt: ${phase}`)}\n`);
    },
  });
  write(json === true ? `${JSON.stringify(adopted, null, 2)}\n` : textOf(adopted, isDryRun));
  if (adopted.hazards.length > 0) setExitCode(HAZARD_CODE);
}

function textOf(report: Awaited<ReturnType<typeof runAdoption>>, isDryRun: boolean): string {
  const { node, tenants, collections, records, hazards, others, copySeconds } = report;
  const rows = collections.map(({ name, records: count, dimension }) => [
    printable(name),
    count,
    dimension ?? '-',
  ]);
  const lines = [
    columns(['collection', 'records', 'dimension'], rows),
    '',
    `Node ${node}: ${collections.length} collections, ${records} records in ${tenants.join(', ')}. Other tenants cannot be seen; name them with --tenant.`,
    ...others.map(({ node: other, is }) => printable(`Node ${other} ${is}.`)),
    `Copying takes about ${copySeconds} s for each node that is filled; the cluster serves meanwhile.`,
    ...hazards.map((hazard) => printable(`In the way: ${hazard}.`)),
    isDryRun ? 'Nothing was changed.' : 'Adopted. Start the gateway: polychrome serve',
  ];
  return `${lines.join('\n')}\n`;
}
