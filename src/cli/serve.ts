// `polychrome serve`: runs a gateway, configured by its environment, until SIGTERM.

import { Command } from 'commander';
import { loadConfig } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { startGateway } from '../app/gateway.ts';
import { systemClock } from '../util/clock.ts';
import { StopRequest } from './stop-request.ts';

const EXAMPLES = `
Examples:
  DATABASE_URL=postgres://user:secret@db/polychrome \\
  NODES=a=http://chroma-a:8000,b=http://chroma-b:8000,c=http://chroma-c:8000 polychrome serve

  DATABASE_URL=postgres://… PRIMARY_URL=http://chroma-1:8000 REPLICA_URL=http://chroma-2:8000 polychrome serve

Every setting is an environment variable; docs/configuration.md lists them. The gateway does not start with an invalid setting.`;

export function serveCommand(): Command {
  return new Command('serve')
    .description('Runs a gateway in front of existing Chroma servers, configured by environment variables.')
    .addHelpText('after', EXAMPLES)
    .action(serve);
}

async function serve(): Promise<void> {
  const config = loadConfig(process.env);
  for (const warning of config.warnings) console.error(`polychrome: ${warning}`);
  const stopRequest = new StopRequest(process, systemClock);
  try {
    const gateway = await startGateway(config, {
      onFailure: (error) => stopRequest.fail(`The gateway failed: ${String(error)}`),
    });
    const nodes =
      config.nodeService === null ? `${config.nodes.length} nodes` : `the nodes of ${config.nodeService}`;
    console.log(`Polychrome listens on ${gateway.url} in front of ${nodes}.`);
    console.log(`Dashboard: ${gateway.dashboardUrl}`);
    await stopRequest.requested;
    await gateway.stop();
  } finally {
    stopRequest.close();
  }
  if (stopRequest.failure !== null) throw new StartupError(stopRequest.failure);
}
