// `polychrome up`: runs a local cluster in the foreground until Ctrl-C.

import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Config, loadConfig } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { type Gateway, startGateway } from '../app/gateway.ts';
import { settledWithin } from '../local/child.ts';
import { type LocalCluster, startLocalCluster } from '../local/cluster.ts';
import { isPortFree } from '../local/port.ts';
import { refuseHeldDirectory } from '../local/process-record.ts';
import { systemClock } from '../util/clock.ts';
import { StopRequest } from './stop-request.ts';
import { lineLogger, progressPrinter, readyText } from './up-report.ts';

interface UpOptions {
  readonly nodes?: number;
  readonly port: number;
  readonly host: string;
  readonly data: string;
  readonly chroma?: string;
}

const EXAMPLES = `
Examples:
  polychrome up                              three nodes, http://127.0.0.1:8000, data in ./.polychrome
  polychrome up --nodes 5 --port 9000
  polychrome up --chroma "chroma run"        the Chroma on your PATH instead of the one installed with Polychrome
  polychrome up --chroma "chroma run --path {path} --port {port} --host {host}"

Settings of "polychrome serve" that are not about addresses can be given in the environment (see docs/configuration.md).`;

/** How long a stop waits for requests in flight. */
const GATEWAY_STOP_WAIT_MS = 15_000;

export function upCommand(): Command {
  return new Command('up')
    .description(
      'Runs PostgreSQL, Chroma servers and the gateway on this machine until Ctrl-C, and keeps the data.',
    )
    .option(
      '--nodes <N>',
      'number of Chroma servers (default: the number at the last start, or 3)',
      wholeNumber(1, 32),
    )
    .addOption(
      new Option('--port <P>', 'port of the gateway')
        .argParser(wholeNumber(1, 65_535))
        .default(8000)
        .env('PORT'),
    )
    .option('--host <H>', 'address of the gateway', '127.0.0.1')
    .option('--data <DIR>', 'data directory', './.polychrome')
    .option('--chroma <CMD>', 'command that starts a Chroma server (also: CHROMA_COMMAND)')
    .addHelpText('after', EXAMPLES)
    .action((options: UpOptions) => up(options));
}

async function up(options: UpOptions): Promise<void> {
  // The cluster keeps running when the reader of its output exits (`polychrome up | head`).
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const stopRequest = new StopRequest(process, systemClock);
  try {
    await runUntilStopped(options, stopRequest);
  } catch (error) {
    if (!stopRequest.signal.aborted) throw error; // otherwise the request has cancelled the start
  } finally {
    stopRequest.close();
  }
  if (stopRequest.failure !== null) throw new StartupError(stopRequest.failure);
}

async function runUntilStopped(options: UpOptions, stopRequest: StopRequest): Promise<void> {
  // Validates everything before it starts a process.
  gatewayConfig(options, 'postgresql://127.0.0.1/postgres', [{ id: 'node-1', url: 'http://127.0.0.1:1' }]);
  refuseHeldDirectory(resolve(options.data));
  await refuseBusyPort(options);
  let nodeFails = (_id: string, _reason: string): void => undefined;
  const cluster = await startLocalCluster({
    dataDir: options.data,
    nodes: options.nodes,
    chroma: options.chroma ?? process.env['CHROMA_COMMAND'],
    logger: lineLogger(process.stderr),
    signal: stopRequest.signal,
    onProgress: progressPrinter(process.stdout),
    onGivenUp: (child) => {
      if (child === 'postgres')
        stopRequest.fail('PostgreSQL keeps exiting: see postgres/postgres.log in the data directory.');
    },
    onNodeFailing: (id, reason) => nodeFails(id, reason),
  });
  try {
    await serveUntilStopped(options, cluster, {
      stopRequest,
      onStarted: (gateway) => {
        nodeFails = (id, reason) => {
          const node = cluster.nodes.find((each) => each.id === id);
          if (node !== undefined) gateway.serverFails(node.url, reason);
        };
      },
    });
  } finally {
    await cluster.stop();
    if (stopRequest.failure === null) console.log('Stopped.');
  }
}

async function serveUntilStopped(
  options: UpOptions,
  cluster: LocalCluster,
  { stopRequest, onStarted }: { stopRequest: StopRequest; onStarted: (gateway: Gateway) => void },
): Promise<void> {
  const config = gatewayConfig(options, cluster.databaseUrl, cluster.nodes);
  const gateway = await startGateway(config, {
    nodePid: (url) => cluster.nodes.find((node) => node.url === url)?.pid() ?? null,
    // The supervisor restarts it.
    onNodeHung: (url) => {
      const node = cluster.nodes.find((each) => each.url === url);
      if (node !== undefined) cluster.killNode(node.id);
    },
    onNodeDamaged: (url) => {
      const node = cluster.nodes.find((each) => each.url === url);
      if (node === undefined) return;
      cluster
        .resetNode(node.id)
        .catch((error: unknown) => console.error(`${node.id} was not reset: ${String(error)}`));
    },
    onFailure: (error) => stopRequest.fail(`The gateway failed: ${String(error)}`),
  });
  onStarted(gateway);
  try {
    await Promise.race([gateway.ready(), stopRequest.requested]);
    if (stopRequest.signal.aborted) return;
    console.log(readyText(gateway, cluster, options.data));
    await stopRequest.requested;
    console.log('\nStopping the gateway, the nodes, PostgreSQL …');
  } finally {
    await stopGateway(gateway, stopRequest);
  }
}

/** Stops the gateway; when it does not stop in time, the other processes and this one stop anyway. */
async function stopGateway(gateway: Gateway, stopRequest: StopRequest): Promise<void> {
  const stopped = gateway
    .stop()
    .catch((error: unknown) => console.error('The gateway failed while stopping:', error));
  if (await settledWithin(stopped, GATEWAY_STOP_WAIT_MS, systemClock)) return;
  stopRequest.fail(
    `The gateway did not stop within ${GATEWAY_STOP_WAIT_MS / 1000} s; all other processes were stopped.`,
  );
}

interface LocalNodeAddress {
  readonly id: string;
  readonly url: string;
}

/** Loads the user's settings, with the addresses of the local cluster. */
function gatewayConfig(options: UpOptions, databaseUrl: string, nodes: readonly LocalNodeAddress[]): Config {
  const {
    PRIMARY_URL: _primary,
    REPLICA_URL: _replica,
    CHROMA_COMMAND: _command,
    DATABASE_URL_FILE: _file,
    DATABASE_PASSWORD_COMMAND: _password,
    ...environment
  } = process.env;
  return loadConfig({
    // The terminal shows warnings and errors only.
    LOG_LEVEL: 'warn',
    ...environment,
    DATABASE_URL: databaseUrl,
    NODES: nodes.map(({ id, url }) => `${id}=${url}`).join(','),
    HOST: options.host,
    PORT: String(options.port),
  });
}

async function refuseBusyPort({ host, port }: UpOptions): Promise<void> {
  const free = await isPortFree(port, host).catch((cause: unknown) => {
    throw new StartupError(
      `The gateway cannot listen on ${host}, port ${port}: ${cause instanceof Error ? cause.message : String(cause)}.`,
      {
        cause,
      },
    );
  });
  if (!free) {
    throw new StartupError(
      `Port ${port} on ${host} is in use by another program: stop it, or choose another port with --port.`,
    );
  }
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}
