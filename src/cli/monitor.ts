// `polychrome monitor`: watches a cluster from outside and sends alerts, until SIGTERM.

import { Command } from 'commander';
import { buildMonitor } from '../app/monitor.ts';
import { loadMonitorConfig } from '../config/monitor.ts';
import { createLogger } from '../util/logger.ts';
import { PROCESS, printable, type LiveContext } from './command-context.ts';
import { StopRequest } from './stop-request.ts';

const EXAMPLES = `
Examples:
  LOAD_BALANCER_URL=https://chroma.example.com SLACK_WEBHOOK_URL=https://hooks.slack.com/… polychrome monitor

  PRIMARY_URL=http://chroma-1:8000 REPLICA_URL=http://chroma-2:8000 LOAD_BALANCER_URL=http://gateway:8000 \\
  DATABASE_URL=postgres://… polychrome monitor --once

Settings are environment variables: LOAD_BALANCER_URL, PRIMARY_URL and REPLICA_URL or NODES, DATABASE_URL, CHECK_INTERVAL (30 s),
FAILURE_THRESHOLD (3), and the webhooks; docs/configuration.md lists them.
Exit code 0: stopped by a signal; with --once: nothing is wrong. 1: a setting is not valid. 2: --once found something wrong.`;

const FOUND_CODE = 2;

export function monitorCommand(context: LiveContext = PROCESS): Command {
  return new Command('monitor')
    .description('Watches gateways, Chroma servers and PostgreSQL from outside, and sends alerts.')
    .option('--once', 'look once, print what is wrong and end; send nothing')
    .addHelpText('after', EXAMPLES)
    .action((options: { once?: boolean }) => (options.once === true ? lookOnce(context) : watch(context)));
}

async function lookOnce({ env, write, clock, exitWith }: LiveContext): Promise<void> {
  const nothing = (): void => undefined;
  const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const monitor = buildMonitor(
    { ...loadMonitorConfig(env), FAILURE_THRESHOLD: Infinity },
    { clock, logger: quiet },
  );
  try {
    const found = await monitor.look();
    for (const { key, detail } of found) write(`${key}  ${printable(detail)}\n`);
    if (found.length === 0) write('Everything responds.\n');
    else exitWith(FOUND_CODE);
  } finally {
    await monitor.stop();
  }
}

async function watch({ env, clock }: LiveContext): Promise<void> {
  const config = loadMonitorConfig(env);
  const monitor = buildMonitor(config, { clock, logger: createLogger(config.LOG_LEVEL) });
  const stopRequest = new StopRequest(process, clock);
  try {
    const { nodes, LOAD_BALANCER_URL: gateways, DATABASE_URL: database } = config;
    const postgres = database === undefined ? '' : ', PostgreSQL';
    console.log(
      `Polychrome watches ${gateways.length} gateways, ${nodes.length} nodes${postgres} every ${config.CHECK_INTERVAL} s.`,
    );
    await monitor.run(stopRequest.signal);
  } finally {
    stopRequest.close();
    await monitor.stop();
  }
}
