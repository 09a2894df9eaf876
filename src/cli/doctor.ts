// `polychrome doctor`: checks everything that a gateway depends on, says what to fix, and writes a bundle for support.

import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { collectFacts } from '../app/doctor.ts';
import { findingsOf, type DoctorFacts, type Finding } from '../app/findings.ts';
import { effectiveSettings, loadConfig, type Config } from '../config/config.ts';
import { StartupError } from '../errors.ts';
import { PROCESS, printable, type LiveContext } from './command-context.ts';
import { addOperatorOptions, OperatorApi, type OperatorOptions } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome doctor                       in the environment of the gateway
  polychrome doctor --json
  polychrome doctor --bundle bundle.json  everything that support needs, without secrets and without your data

Checks the settings, PostgreSQL (release, rights, connections, durability, clock), every Chroma server (reachability,
release, capabilities, marker, clock), this process (memory, open files), and the gateway at --url if one runs there.
Changes nothing. Without settings in its environment it asks only the gateway.
Exit code 0: nothing is wrong. 1: the settings cannot be used. 2: at least one problem.`;

interface DoctorOptions extends OperatorOptions {
  readonly bundle?: string;
}

const PROBLEM_CODE = 2;
const SYMBOLS = { ok: 'ok     ', warning: 'WARNING', problem: 'PROBLEM' } as const;

export function doctorCommand(context: LiveContext = PROCESS): Command {
  const command = new Command('doctor')
    .description(
      'Checks settings, PostgreSQL, the Chroma servers and a running gateway, and says what to fix.',
    )
    .option('--bundle <file>', 'write a bundle for support')
    .addHelpText('after', EXAMPLES);
  return addOperatorOptions(command, context.env).action((options: DoctorOptions) =>
    doctor(options, context),
  );
}

/** No gateway starts without one of these. */
const NEEDED = ['DATABASE_URL', 'DATABASE_URL_FILE', 'NODES', 'PRIMARY_URL'] as const;
const VALID_SETTINGS: Finding = {
  subject: 'settings',
  state: 'ok',
  text: 'valid; "polychrome config" shows them',
  fix: null,
};
const NO_SETTINGS: Finding = {
  subject: 'settings',
  state: 'warning',
  text: 'there are none in this environment, so only the gateway was asked',
  fix: 'Run it in the environment of the gateway to have PostgreSQL and the servers checked.',
};

/** Null: none are set here, and a gateway that has its own responds, as beside `npm start`. Throws StartupError. */
function settingsOf(env: LiveContext['env'], { responds }: GatewayReport): Config | null {
  const isUnset = NEEDED.every((name) => (env[name] ?? '') === '');
  return responds && isUnset ? null : loadConfig(env);
}

async function doctor(options: DoctorOptions, context: LiveContext): Promise<void> {
  const gateway = await askGateway(options);
  const config = settingsOf(context.env, gateway);
  const facts = config === null ? null : await collectFacts(config, context.clock);
  const findings: Finding[] = [
    facts === null ? NO_SETTINGS : VALID_SETTINGS,
    ...(facts === null ? [] : findingsOf(facts)),
    ...gateway.findings,
  ];
  if (options.bundle !== undefined) {
    const bundle = bundleOf({ at: context.clock.now(), context, findings, facts, reports: gateway.reports });
    writeFileSync(options.bundle, `${JSON.stringify(bundle, null, 2)}\n`);
  }
  context.write(options.json === true ? `${JSON.stringify(findings, null, 2)}\n` : textOf(findings));
  if (options.bundle !== undefined && options.json !== true)
    context.write(`Bundle written to ${options.bundle}.\n`);
  if (findings.some(({ state }) => state === 'problem')) context.exitWith(PROBLEM_CODE);
}

function textOf(findings: readonly Finding[]): string {
  const lines = findings.map(({ subject, state, text, fix }) => {
    const line = `${SYMBOLS[state]}  ${subject}: ${printable(text)}\n`;
    return fix === null ? line : `${line}         → ${fix}\n`;
  });
  return lines.join('');
}

interface GatewayReport {
  readonly responds: boolean;
  readonly findings: readonly Finding[];
  readonly reports: Readonly<Record<string, unknown>>;
}

interface Health {
  readonly components: Readonly<Record<string, { readonly state: string; readonly reason: string | null }>>;
}

const REPORTS = ['/status', '/wal/stats', '/metrics.json', '/admin/events?limit=200'];

async function askGateway(options: DoctorOptions): Promise<GatewayReport> {
  const api = new OperatorApi(options);
  const subject = 'gateway';
  try {
    const health = await api.report<Health>('/health/check');
    const findings = Object.entries(health.components)
      .filter(([, { state }]) => state !== 'healthy')
      .map(([name, { state, reason }]): Finding => {
        const severity = state === 'unhealthy' ? 'problem' : 'warning';
        return {
          subject,
          state: severity,
          text: `${name}: ${reason}`,
          fix: 'See docs/operations.md, "Health".',
        };
      });
    const reports: Record<string, unknown> = { '/health/check': health };
    for (const path of REPORTS) reports[path] = await api.report(path).catch((error: Error) => error.message);
    const well: Finding = { subject, state: 'ok', text: `${options.url} is healthy`, fix: null };
    return { responds: true, findings: findings.length === 0 ? [well] : findings, reports };
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    const text = `none responds at ${options.url}`;
    return {
      responds: false,
      findings: [{ subject, state: 'warning', text, fix: 'Start it, or name another with --url.' }],
      reports: {},
    };
  }
}

interface BundleParts {
  readonly at: number;
  readonly context: LiveContext;
  readonly findings: readonly Finding[];
  readonly facts: DoctorFacts | null;
  readonly reports: Readonly<Record<string, unknown>>;
}

function bundleOf({ at, context, findings, facts, reports }: BundleParts): object {
  return {
    at: new Date(at).toISOString(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    settings: effectiveSettings(context.env),
    findings,
    facts,
    reports: withoutContent(reports),
  };
}

// Texts of servers may quote what a client sent; names of collections are the client's.
const CONTENT = new Set([
  'error',
  'response',
  'reason',
  'lastError',
  'name',
  'collection',
  'tenant',
  'database',
  'detail',
  'suspects',
]);
const REMOVED = '(removed)';

/** Copies a report without the fields that may hold a client's data. */
export function withoutContent(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutContent);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      CONTENT.has(name) && field !== null ? REMOVED : withoutContent(field),
    ]),
  );
}
