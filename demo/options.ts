// The command line of the demo.
import { Command, InvalidArgumentError, Option } from 'commander';

export interface DemoOptions {
  /** null: the Markdown files under this checkout's node_modules. */
  readonly folder: string | null;
  readonly documentsMax: number;
  readonly nodes: number;
  readonly writers: number;
  /** Records in one call. */
  readonly batch: number;
  /** null: start a cluster of our own, remove it afterwards. */
  readonly endpoint: string | null;
}

const EXAMPLES = `
Examples:
  npm run demo                                  the Markdown files under node_modules
  npm run demo -- ~/notes                       every text file of a folder of yours
  npm run demo -- ~/notes --documents 50        the first 50 of them
  npm run demo -- --nodes 5 --writers 8         more servers, more concurrent writers
  npm run demo -- --endpoint http://127.0.0.1:8000   against a cluster started with npm start

The demo kills two Chroma servers while it writes and searches. It exits with 0 only if no acknowledged
write is lost, no request failed, and every node holds the same content.`;

/** Reads the arguments after the script's name; prints help or a sentence and exits where they ask for it. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const command = new Command('demo')
    .usage('[FOLDER] [options]')
    .description('Indexes real text on a local cluster, kills servers meanwhile, and checks what is left.')
    .argument('[FOLDER]', 'folder of text files to index (default: the Markdown files under node_modules)')
    // 300: a minute at most on two cores, whatever folder is named.
    .option('--documents <N>', 'index the first N documents at most', integer(1, 100_000), 300)
    .addOption(
      // Fewer than two leave no node to go on with.
      new Option('--nodes <N>', 'Chroma servers to start').argParser(integer(2, 9)).default(3),
    )
    .option('--writers <N>', 'concurrent writers', integer(1, 64), 4)
    // 1,000: the client refuses more than the server's max_batch_size, which is at least 5,461 everywhere.
    .option('--batch <N>', 'records in one call', integer(1, 1000), 32)
    .addOption(
      new Option('--endpoint <URL>', 'use this running local cluster; its servers are killed all the same')
        .argParser(loopback)
        .conflicts('nodes'),
    )
    .addHelpText('after', EXAMPLES)
    .parse(args, { from: 'user' });
  const given = command.opts<{
    documents: number;
    nodes: number;
    writers: number;
    batch: number;
    endpoint?: string;
  }>();
  return {
    folder: command.args[0] ?? null,
    documentsMax: given.documents,
    nodes: given.nodes,
    writers: given.writers,
    batch: given.batch,
    endpoint: given.endpoint ?? null,
  };
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

// The process ids in /status mean something on the cluster's own machine only: anywhere else the demo would
// kill strangers.
function loopback(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' || !['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname)) {
    throw new InvalidArgumentError('It must be an http:// address of this machine.');
  }
  return url.origin;
}
