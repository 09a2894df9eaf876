// All settings of a gateway, read from its environment, validated and frozen.

import { StartupError } from '../errors.ts';
import { CACHE_SETTINGS } from './cache.ts';
import { HTTP_SETTINGS } from './http.ts';
import { LOG_SETTINGS } from './log.ts';
import { NODE_SETTINGS, nodeAddresses, type NodeAddress } from './nodes.ts';
import { OBSERVE_SETTINGS } from './observe.ts';
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
} as const;

type Values = ValuesOf<typeof SETTINGS>;
type PlainValues = Omit<Values, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'>;

export interface Config extends PlainValues {
  /** At least one; the first is preferred as the first primary. */
  readonly nodes: readonly NodeAddress[];
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
  const nodes = nodeAddresses({ NODES, PRIMARY_URL, REPLICA_URL });
  return Object.freeze({ ...(rest as PlainValues), nodes });
}
