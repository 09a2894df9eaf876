// All settings of a gateway, read from its environment, validated and frozen.

import { StartupError } from '../errors.ts';
import { CACHE_SETTINGS } from './cache.ts';
import { HTTP_SETTINGS } from './http.ts';
import { LOG_SETTINGS } from './log.ts';
import { NODE_SETTINGS, namedNodes, type NodeAddress } from './nodes.ts';
import { OBSERVE_SETTINGS } from './observe.ts';
import { OLDER_SETTINGS, olderSettingWarnings, withOlderSettings } from './older.ts';
import { READ_SETTINGS } from './reads.ts';
import type { Setting, ValuesOf } from './setting.ts';
import { refuseUnknownName } from './unknown-names.ts';
import { WRITE_SETTINGS } from './writes.ts';

/** Every setting by its name in the environment, in the order of docs/configuration.md. */
export const SETTINGS = {
  ...LOG_SETTINGS,
  ...NODE_SETTINGS,
  ...HTTP_SETTINGS,
  ...WRITE_SETTINGS,
  ...READ_SETTINGS,
  ...CACHE_SETTINGS,
  ...OBSERVE_SETTINGS,
  ...OLDER_SETTINGS,
} as const;

type Values = ValuesOf<typeof SETTINGS>;
type PlainValues = Omit<Values, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'>;

export interface Config extends PlainValues {
  /** The DNS name that has the nodes; null when `nodes` has them. */
  readonly nodeService: string | null;
  /** The first is preferred as the first primary; none with `nodeService`, otherwise at least one. */
  readonly nodes: readonly NodeAddress[];
  /** Sentences for the log of the start. */
  readonly warnings: readonly string[];
}

/** Several workers share PORT, so operators need a port of each. */
function refuseUnreachableWorkers({ WORKERS = 1, PORT, ADMIN_PORT }: Partial<Values>): void {
  if (WORKERS === 1) return;
  if (ADMIN_PORT === undefined || ADMIN_PORT === 0)
    throw new StartupError(
      `WORKERS is ${WORKERS}, and ADMIN_PORT is not set: operators reach worker n on ADMIN_PORT + n - 1.`,
    );
  if (PORT === 0) throw new StartupError(`WORKERS is ${WORKERS}, and PORT is 0: workers share a fixed port.`);
}

/** The settings in `env`. Throws StartupError with one sentence that names the variable. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const known = Object.keys(SETTINGS);
  for (const name of Object.keys(env)) refuseUnknownName(name, known, env);
  const values: Record<string, unknown> = {};
  for (const [name, { schema, default: fallback }] of Object.entries<Setting<unknown>>(SETTINGS)) {
    const text = env[name] === undefined || env[name] === '' ? fallback : env[name];
    if (text === null) continue;
    const parsed = schema.safeParse(text);
    if (!parsed.success) {
      // URLs may hold credentials.
      const shown = /(?:URL|TOKEN)$/.test(name) ? '' : ` It is "${text}".`;
      throw new StartupError(`${name} ${parsed.error.issues[0]?.message ?? 'is not valid'}.${shown}`);
    }
    values[name] = parsed.data;
  }
  const { NODES, PRIMARY_URL, REPLICA_URL, ...rest } = values as Partial<Values>;
  if (rest.DATABASE_URL === undefined && rest.DATABASE_URL_FILE === undefined) {
    throw new StartupError('DATABASE_URL is not set: it names the PostgreSQL that holds the log.');
  }
  if (rest.DATABASE_URL !== undefined && rest.DATABASE_URL_FILE !== undefined) {
    throw new StartupError('DATABASE_URL and DATABASE_URL_FILE are both set: remove one of them.');
  }
  refuseUnreachableWorkers(rest);
  const { service: nodeService, nodes } = namedNodes({ NODES, PRIMARY_URL, REPLICA_URL });
  if (nodeService === null && rest.NODE_FORGET_AFTER !== undefined)
    throw new StartupError('NODE_FORGET_AFTER has an effect only with NODES=dns+srv://NAME.');
  const plain = withOlderSettings(rest as PlainValues, env);
  return Object.freeze({ ...plain, nodeService, nodes, warnings: olderSettingWarnings(env) });
}

export interface EffectiveSetting {
  readonly name: string;
  /** As text; null: not set and without a default. Secrets are masked. */
  readonly value: string | null;
  readonly origin: 'environment' | 'default' | 'not set';
}

/** Settings whose text may hold a secret other than the credentials of a URL. */
const SECRET = /(?:TOKEN|PASSWORD|SECRET|KEY|COMMAND)$|WEBHOOK/;

/** Every setting as `env` gives it, valid or not. */
export function effectiveSettings(
  env: Readonly<Record<string, string | undefined>>,
): readonly EffectiveSetting[] {
  return Object.entries<Setting<unknown>>(SETTINGS).map(([name, { default: fallback }]) => {
    const text = env[name];
    if (text !== undefined && text !== '')
      return { name, value: withoutSecrets(name, text), origin: 'environment' };
    return { name, value: fallback, origin: fallback === null ? 'not set' : 'default' };
  });
}

/** Cuts everything before the last @ of an address: what cannot be parsed may hold credentials anywhere there. */
function withoutSecrets(name: string, text: string): string {
  if (SECRET.test(name)) return '***';
  if (!/URL|NODES/.test(name)) return text;
  const masked = text
    .split(',')
    .map((part) =>
      part.replace(/^(?<before>[a-z0-9-]*=)?(?<scheme>\w+:\/\/)?.*@/s, '$<before>$<scheme>***@'),
    );
  return masked.join(',').replace(/([?&](?:password|sslpassword|sslkey)=)[^&,]*/g, '$1***');
}
