// Every setting, once: its name in the environment, what it takes, its default and why. The table in README.md is
// made from this list, and whatever is not in it stops the start.

import { z } from 'zod';
import { StartupError } from './errors.ts';

interface Setting<T> {
  readonly schema: z.ZodType<T>;
  /** As text, the way it would be set; null: no default. */
  readonly default: string | null;
  readonly about: string;
}

const setting = <T>(schema: z.ZodType<T>, fallback: string | null, about: string): Setting<T> => ({
  schema,
  default: fallback,
  about,
});

const url = (...protocols: string[]): z.ZodType<string> =>
  z
    .string()
    .refine(
      (text) => URL.canParse(text) && protocols.includes(new URL(text).protocol),
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );
const nodeUrl = url('http:', 'https:');
const whole = (min: number, max: number): z.ZodType<number> =>
  z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`);
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const duration = (): z.ZodType<number> =>
  z
    .string()
    .regex(/^[1-9]\d{0,5}[smhd]$/, 'must be a duration such as 90s, 30m, 72h or 7d')
    .transform((text) => Number(text.slice(0, -1)) * (UNIT_MS[text.slice(-1)] ?? 0));
const flag = z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true');
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);
const oneOf = <T extends string>(...values: readonly [T, ...T[]]): z.ZodType<T> =>
  z.enum(values, `must be one of ${values.join(', ')}`);

export const SETTINGS = {
  DATABASE_URL: setting(
    url('postgres:', 'postgresql:'),
    null,
    'PostgreSQL that holds the log. Required. Its durability is the durability of every acknowledged write.',
  ),
  DATABASE_SCHEMA: setting(
    z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'must be a lower-case SQL identifier'),
    'polychrome',
    'PostgreSQL schema of this replica group; several groups can share one database.',
  ),
  NODES: setting(
    z.string(),
    null,
    'The Chroma servers: `id=url,id=url,…`. An id stays with its data; the URL may change. The first is the preferred primary at the very first start. Set this, or PRIMARY_URL.',
  ),
  PRIMARY_URL: setting(
    nodeUrl,
    null,
    'A Chroma server, as node `primary`: the short way to name two servers.',
  ),
  REPLICA_URL: setting(nodeUrl, null, 'Another Chroma server, as node `replica`; together with PRIMARY_URL.'),
  HOST: setting(z.string().min(1), '0.0.0.0', 'Address the gateway listens on.'),
  PORT: setting(
    whole(0, 65_535),
    '8000',
    "Port the gateway listens on; 8000 is Chroma's own. 0 takes a free one.",
  ),
  ACK_LEVEL: setting(
    oneOf('log', 'primary', 'quorum', 'all'),
    'primary',
    'What a write waits for beyond being durable in the log; `x-polychrome-ack` sets it for one request.',
  ),
  CONSISTENCY: setting(
    oneOf('session', 'eventual'),
    'session',
    'What a read must see: every write this gateway acknowledged (`session`), or whatever a node has (`eventual`); `x-polychrome-consistency` sets it for one request.',
  ),
  WRITE_TIMEOUT_MS: setting(
    whole(100, 600_000),
    '30000',
    'How long a write waits for its level before it is answered 503 "durable at LSN n": longer than a failover takes.',
  ),
  LOG_TIMEOUT_MS: setting(
    whole(100, 600_000),
    '10000',
    'How long a write waits for PostgreSQL before it is refused with 503: longer than a restart of PostgreSQL takes.',
  ),
  READ_TIMEOUT_MS: setting(
    whole(100, 600_000),
    '60000',
    'How long a read may take in all, waiting for a node that is far enough included.',
  ),
  LEASE_MS: setting(
    whole(1_000, 60_000),
    '5000',
    'Length of the leader’s lease; the same on every gateway. Shorter takes over sooner when a gateway dies, longer bears longer pauses of PostgreSQL.',
  ),
  SETTLE_MS: setting(
    whole(0, 60_000),
    '500',
    'How long a node must have answered again before a different call follows one whose connection broke.',
  ),
  STAGGER_MS: setting(
    whole(50, 60_000),
    '500',
    'Calls that will keep a node busy for longer are made by one node after the other, so that another can answer reads.',
  ),
  ENTRY_ATTEMPTS: setting(
    whole(1, 100),
    '5',
    'How often a node is sent an entry that it fails while it works otherwise, before another node is asked and the entry is refused or quarantined.',
  ),
  ENTRY_TIMEOUT_MS: setting(
    whole(1_000, 3_600_000),
    '60000',
    'How long beyond its own bound a call may go without progress, and how long a failing entry waits for nodes that are away.',
  ),
  NODE_RESTART_COMMAND: setting(
    z.string().min(1),
    null,
    'Shell command that restarts a node which hangs on a call; NODE_ID and NODE_URL are in its environment. At most once a minute for each node.',
  ),
  BODY_BUDGET_BYTES: setting(
    whole(41_943_040, 68_719_476_736),
    '268435456',
    'Request bodies held at one time, all clients together; further ones wait, then get 503. At least one largest body (40 MiB).',
  ),
  RESULT_CACHE_BYTES: setting(
    whole(0, 68_719_476_736),
    '16777216',
    'Answers to reads kept in memory, served only while they are the truth; 0 keeps none.',
  ),
  RECORD_CACHE_BYTES: setting(
    whole(0, 68_719_476_736),
    '33554432',
    'Documents and metadatas kept in memory, so that queries need not ask nodes for them; a collection that fits is read ahead when queries miss it. 0 keeps none.',
  ),
  FILTER_CONDITIONS_MAX: setting(
    whole(1, 950),
    '900',
    'Conditions of `where` and `where_document` in one request, each `$and` and `$or` counted as one. Chroma answers 500 from about 980 on, and its process ends from 5,000 to 10,000 on.',
  ),
  FILTER_OPERANDS_MAX: setting(
    whole(1, 32_760),
    '32700',
    'SQL variables that `ids`, `where` and `where_document` of one request need: 1 for each id and each string or boolean of a list, 2 for each number of a list, 4 for each condition of `where`, 1 for each of `where_document`. Chroma answers 500 above 32,763.',
  ),
  FILTER_DEPTH_MAX: setting(
    whole(0, 62),
    '62',
    'Levels of `$and` and `$or` around a condition. Chroma cannot parse more than 62.',
  ),
  WAL_RETENTION: setting(
    duration(),
    '72h',
    'How long entries stay in the log when all working nodes have applied them. A node that was away for longer must be rebuilt; so must one for which WAL_RETENTION_BYTES was not enough.',
  ),
  WAL_RETENTION_BYTES: setting(
    whole(1, 999_999_999_999_999),
    '10737418240',
    'How much of the log is kept, at most, for nodes that are away and for WAL_RETENTION. What a working node has still to apply is always kept.',
  ),
  ALLOW_RESET: setting(flag, 'false', 'Whether POST /api/v2/reset may delete everything.'),
  CORS_ALLOW_ORIGINS: setting(
    list,
    '',
    'Origins that browsers may call from, separated by commas; `*` for all.',
  ),
  LOG_LEVEL: setting(
    oneOf('debug', 'info', 'warn', 'error', 'silent'),
    'info',
    'What is written to stderr, as JSON lines.',
  ),
} as const;

type Values = {
  readonly [K in keyof typeof SETTINGS]: (typeof SETTINGS)[K] extends Setting<infer T> ? T : never;
};

export interface NodeAddress {
  readonly id: string;
  readonly url: string;
}

export interface Config extends Omit<Values, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'> {
  /** At least one; the first is preferred as the first primary. */
  readonly nodes: readonly NodeAddress[];
}

/** The settings in `env`, validated and frozen. Throws StartupError with one sentence that names the variable. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  for (const name of Object.keys(env)) refuseUnknown(name, env);
  const values: Record<string, unknown> = {};
  for (const [name, { schema, default: fallback }] of Object.entries<Setting<unknown>>(SETTINGS)) {
    const text = env[name] === undefined || env[name] === '' ? fallback : env[name];
    if (text === null) continue;
    const parsed = schema.safeParse(text);
    if (!parsed.success) {
      const shown = name.endsWith('URL') ? '' : ` It is "${text}".`;
      throw new StartupError(`${name} ${parsed.error.issues[0]?.message ?? 'is not valid'}.${shown}`);
    }
    values[name] = parsed.data;
  }
  const { NODES, PRIMARY_URL, REPLICA_URL, ...rest } = values as Partial<Values>;
  if (rest.DATABASE_URL === undefined) {
    throw new StartupError('DATABASE_URL is not set: it names the PostgreSQL that holds the log.');
  }
  const nodes = nodeAddresses(NODES, PRIMARY_URL, REPLICA_URL);
  return Object.freeze({ ...(rest as Omit<Values, 'NODES' | 'PRIMARY_URL' | 'REPLICA_URL'>), nodes });
}

function nodeAddresses(nodes?: string, primary?: string, replica?: string): readonly NodeAddress[] {
  if (nodes !== undefined && (primary !== undefined || replica !== undefined)) {
    throw new StartupError(
      'NODES and PRIMARY_URL or REPLICA_URL are both set: use one way to name the servers.',
    );
  }
  if (nodes === undefined) {
    if (primary === undefined) {
      throw new StartupError(
        'No Chroma server is named: set NODES=id=url,id=url or PRIMARY_URL (and REPLICA_URL).',
      );
    }
    const pair = [{ id: 'primary', url: primary }];
    return replica === undefined ? pair : [...pair, { id: 'replica', url: replica }];
  }
  // Where credentials begin in what cannot be parsed is not certain: everything up to the last @ is left out.
  const shown = (text: string): string => text.replace(/^.*@/s, '***@');
  const addresses = nodes.split(',').map((part) => {
    const [id = '', ...rest] = part.trim().split('=');
    const address = { id, url: rest.join('=') };
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id) || !nodeUrl.safeParse(address.url).success) {
      throw new StartupError(
        `NODES must be id=url pairs separated by commas, ids of lower-case letters, digits and dashes; "${shown(part)}" is not one.`,
      );
    }
    return address;
  });
  for (const key of ['id', 'url'] as const) {
    const twice = addresses.find(
      (one, index) => addresses.findIndex((other) => other[key] === one[key]) < index,
    );
    if (twice !== undefined) throw new StartupError(`NODES names the ${key} ${shown(twice[key])} twice.`);
  }
  return addresses;
}

/**
 * The environment is full of other programs' variables: only what looks like one of ours, and stands where ours is
 * missing, is held to be a mistake.
 */
function refuseUnknown(name: string, env: Readonly<Record<string, string | undefined>>): void {
  if (name in SETTINGS) return;
  if (name.startsWith('POLYCHROME_')) {
    throw new StartupError(`${name} is not a setting of Polychrome; settings have no prefix. See README.md.`);
  }
  const meant = Object.keys(SETTINGS).find((known) => isSlipOf(known, name));
  if (meant !== undefined && (env[meant] ?? '') === '')
    throw new StartupError(`${name} is not a setting of Polychrome; did you mean ${meant}?`);
}

// Short names are one letter away from too much that is somebody else's.
const SLIP_LENGTH_MIN = 8;

/** Whether `name` is `known` with another case, other separators, a plural, or one letter wrong. */
function isSlipOf(known: string, name: string): boolean {
  const plain = (text: string): string => text.toUpperCase().replace(/[_-]|S$/g, '');
  if (known.length > 5 && plain(known) === plain(name)) return true;
  return Math.min(known.length, name.length) >= SLIP_LENGTH_MIN && isOneEditAway(known, name.toUpperCase());
}

/** True when one letter added, left out, replaced, or swapped with its neighbour makes `a` into `b`. */
function isOneEditAway(a: string, b: string): boolean {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const [left, right] = [a.slice(at), b.slice(at)];
  return (
    left.slice(1) === right.slice(1) ||
    left.slice(1) === right ||
    left === right.slice(1) ||
    (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2))
  );
}
