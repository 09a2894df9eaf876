// `polychrome selftest`: tests a running cluster as its clients see it.

import { Command, InvalidArgumentError } from 'commander';
import { StartupError } from '../errors.ts';
import { columns, PROCESS, type LiveContext } from './command-context.ts';
import { OperatorApi } from './operator-api.ts';
import { Selftest, type CheckResult, type SelftestTarget } from './selftest-checks.ts';

const EXAMPLES = `
Examples:
  polychrome selftest --url https://chroma.example.com
  polychrome selftest --url http://127.0.0.1:8000 --json
  polychrome selftest --url https://chroma.example.com --failover    asks you to stop the primary, and counts failed requests
  polychrome selftest --alerts    also sends a test alert to every webhook
  polychrome selftest --url https://chroma.example.com --alerts http://10.0.0.5:9091

It writes to a collection of its own and deletes it. Exit code 0: every check passed. 1: a check failed, or no gateway
responded.`;

interface SelftestOptions {
  readonly url: string;
  readonly timeout: number;
  readonly failover?: boolean;
  /** True: the operator API is where clients reach the cluster. */
  readonly alerts?: string | true;
  readonly token?: string;
  readonly json?: boolean;
}

export function selftestCommand(context: LiveContext = PROCESS): Command {
  return new Command('selftest')
    .description(
      'Tests a running cluster: health, writes, reads and deletes on every node, the v1 API, lag, alerts.',
    )
    .option(
      '--url <url>',
      'where clients reach the cluster',
      `http://127.0.0.1:${context.env['PORT'] || '8000'}`,
    )
    .option('--timeout <seconds>', 'how long a node may take to apply a write, or a failover', secondsOf, 60)
    .option('--failover', 'also wait until another node becomes the primary, with writes and reads meanwhile')
    .option(
      '--alerts [url]',
      'also send a test alert to every webhook, by the operator API at this URL (default: --url)',
    )
    .option('--token <token>', 'ADMIN_TOKEN of the gateway, for --alerts', context.env['ADMIN_TOKEN'])
    .option('--json', 'print JSON instead of text')
    .addHelpText('after', EXAMPLES)
    .action((options: SelftestOptions) => selftest(options, context));
}

async function selftest(options: SelftestOptions, context: LiveContext): Promise<void> {
  const target = targetOf(options, context);
  const test = new Selftest(target);
  await test.run();
  const { alerts } = options;
  if (alerts !== undefined) {
    const operator = new OperatorApi({ ...options, url: alerts === true ? options.url : alerts });
    await test.alerts(() => operator.post('/admin/alerts/test'));
  }
  if (options.failover === true && test.results.every(({ passed }) => passed))
    await test.failover((primary) => {
      if (options.json !== true)
        context.write(`Stop ${primary} now, for example in the console of its platform.\n`);
    });
  const passed = test.results.every((result) => result.passed);
  context.write(
    options.json === true ? `${JSON.stringify({ passed, checks: test.results })}\n` : report(test.results),
  );
  if (!passed) throw new StartupError('A check failed.');
}

function report(results: readonly CheckResult[]): string {
  const rows = results.map(({ name, passed, detail, ms }) => [
    passed ? 'passed' : 'FAILED',
    name,
    `${ms} ms`,
    detail,
  ]);
  return `${columns(['result', 'check', 'took', 'detail'], rows)}\n`;
}

function targetOf({ url, timeout }: SelftestOptions, { clock }: LiveContext): SelftestTarget {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new StartupError(`--url must be a URL that begins with http:// or https://; "${url}" is not one.`);
  const base = url.replace(/\/$/, '');
  const timeoutMs = timeout * 1_000;
  return {
    clock,
    timeoutMs,
    collection: `polychrome-selftest-${clock.now()}`,
    async call({ method, path, body }) {
      const response = await fetch(base + path, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      }).catch((error: unknown) => {
        const { cause } = error as { cause?: { code?: string } };
        throw new StartupError(`${base} does not respond (${cause?.code ?? String(error)}).`);
      });
      const text = await response.text();
      const lsn = Number(response.headers.get('x-polychrome-lsn') ?? 0);
      return { status: response.status, body: parsed(text), lsn };
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text.slice(0, 200);
  }
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 3_600)
    throw new InvalidArgumentError('It must be a whole number of seconds from 1 to 3600.');
  return seconds;
}
