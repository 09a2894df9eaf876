// `polychrome serve`: runs a gateway, configured by its environment, until SIGTERM.

import { Command } from 'commander';
import { loadConfig, type Config } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { startGateway } from '../app/gateway.ts';
import { systemClock } from '../util/clock.ts';
import { createLogger } from '../util/logger.ts';
import { StopRequest } from './stop-request.ts';
import { leaveParent, reportServing, runWorkers, workerConfig, workerNumber } from './workers.ts';

const EXAMPLES = `
Examples:
  DATABASE_URL=postgres://user:secret@db/polychrome \\
  NODES=a=http://chroma-a:8000,b=http://chroma-b:8000,c=http://chroma-c:8000 polychrome serve

  ADMIN_PORT=8100 polychrome serve --workers 2    # one port, two processes

  DATABASE_URL=postgres://… PRIMARY_URL=http://chroma-1:8000 REPLICA_URL=http://chroma-2:8000 polychrome serve

Every setting is an environment variable; docs/configuration.md lists them. The gateway does not start with an invalid setting.`;

export function serveCommand(): Command {
  return new Command('serve')
    .description('Runs a gateway in front of existing Chroma servers, configured by environment variables.')
    .option('--workers <n>', 'gateway processes that share the port; instead of WORKERS')
    .addHelpText('after', EXAMPLES)
    .action(serve);
}

async function serve({ workers }: { workers?: string }): Promise<void> {
  const worker = workerNumber(process.env);
  if (workers !== undefined) process.env['WORKERS'] = workers;
  const config = loadConfig(process.env);
  const stopRequest = new StopRequest(process, systemClock);
  try {
    if (worker !== null) await serveAsWorker(config, worker, stopRequest);
    else {
      for (const warning of config.warnings) console.error(`polychrome: ${warning}`);
      if (config.WORKERS > 1) await serveWithWorkers(config, stopRequest);
      else await serveAlone(config, stopRequest);
    }
  } finally {
    stopRequest.close();
  }
  if (stopRequest.failure !== null) throw new StartupError(stopRequest.failure);
}

const failed = (error: unknown): string => `The gateway failed: ${String(error)}`;

async function serveAlone(config: Config, stopRequest: StopRequest): Promise<void> {
  const gateway = await startGateway(config, { onFailure: (error) => stopRequest.fail(failed(error)) });
  console.log(`Polychrome listens on ${gateway.url} in front of ${nodesOf(config)}.`);
  console.log(`Dashboard: ${gateway.dashboardUrl}`);
  await stopRequest.requested;
  await gateway.stop();
}

async function serveWithWorkers(config: Config, stopRequest: StopRequest): Promise<void> {
  const { HOST, PORT, ADMIN_PORT: port, WORKERS: count } = config;
  const onServing = (): void => {
    console.log(
      `Polychrome listens on http://${HOST}:${PORT} in front of ${nodesOf(config)}, with ${count} workers.`,
    );
    console.log(`Dashboards: http://${HOST}:${port}/ui/, and the ${count - 1} ports after it.`);
  };
  await runWorkers(config, { stopRequest, clock: systemClock, onServing });
}

/** Shares the port with the other workers once it serves, so that they get the requests before. */
async function serveAsWorker(config: Config, worker: number, stopRequest: StopRequest): Promise<void> {
  const gateway = await startGateway(workerConfig(config, worker), {
    logger: createLogger(config.LOG_LEVEL, { worker }),
    sharesPort: true,
    onListening: reportServing,
    onFailure: (error) => stopRequest.fail(failed(error)),
  });
  await stopRequest.requested;
  await gateway.stop();
  leaveParent();
}

const nodesOf = ({ nodeService, nodes }: Config): string =>
  nodeService === null ? `${nodes.length} nodes` : `the nodes of ${nodeService}`;
