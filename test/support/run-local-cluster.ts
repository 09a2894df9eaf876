// Runs a local cluster until SIGTERM, for tests that kill it and start the next one.
// Arguments: data directory, number of nodes, command for Chroma (optional). Prints one line of JSON when ready; ends by SIGTERM.

import { startLocalCluster } from '../../src/local/cluster.ts';
import { StartupError } from '../../src/errors.ts';

const [dataDir = '', nodes = '1', chroma] = process.argv.slice(2);
const logger = { info: () => {}, warn: () => {}, error: console.error };

try {
  const cluster = await startLocalCluster({ dataDir, nodes: Number(nodes), chroma, logger });
  process.once('SIGTERM', () => void cluster.stop().then(() => process.exit(0)));
  const pids = [cluster.postgres.pid(), ...cluster.nodes.map((node) => node.pid())];
  console.log(
    JSON.stringify({ pids, databaseUrl: cluster.databaseUrl, urls: cluster.nodes.map(({ url }) => url) }),
  );
  setInterval(() => {}, 60_000);
} catch (error) {
  if (!(error instanceof StartupError)) throw error;
  console.error(error.message);
  process.exit(1);
}
