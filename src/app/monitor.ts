// Composes what `polychrome monitor` runs: the watch, its webhooks, and the connection to PostgreSQL.

import { Monitor } from '../alerts/monitor.ts';
import type { Condition } from '../alerts/conditions.ts';
import { Webhooks } from '../alerts/webhooks.ts';
import type { MonitorConfig } from '../config/monitor.ts';
import { Database } from '../postgres/database.ts';
import { PostgresServers } from '../postgres/postgres-servers.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import { postJson, webhooksOf } from './alerts.ts';

export interface RunningMonitor {
  /** One round. Resolves with what was found wrong. */
  look(): Promise<readonly Condition[]>;
  run(stop: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

interface MonitorParts {
  readonly clock: Clock;
  readonly logger: Logger;
}

const REQUEST_TIMEOUT_MS = 10_000;

export function buildMonitor(config: MonitorConfig, { clock, logger }: MonitorParts): RunningMonitor {
  const webhooks = new Webhooks({ webhooks: webhooksOf(config), post: postJson, clock, logger });
  const database = config.DATABASE_URL === undefined ? null : connect(config.DATABASE_URL);
  const monitor = new Monitor({
    gateways: config.LOAD_BALANCER_URL.map(withoutSlash).map((url) => ({ name: maskCredentials(url), url })),
    nodes: config.nodes.map(({ id, url }) => ({ name: id, url: withoutSlash(url) })),
    ...(database === null ? {} : { database: () => failureOf(database) }),
    get: fetchText,
    send: (message) => {
      const { state, key, detail, title } = message;
      logger.warn({ alert: key, detail }, `${title}: ${state}`);
      webhooks.send(message);
    },
    onRound: (found) => {
      if (found.length === 0) logger.debug({}, 'everything responds');
      for (const { key, detail } of found) logger.info({ alert: key, detail }, 'found in this round');
    },
    intervalMs: config.CHECK_INTERVAL * 1_000,
    threshold: config.FAILURE_THRESHOLD,
    clock,
  });
  return {
    look: () => monitor.look(),
    run: (stop) => monitor.run(stop),
    async stop() {
      await webhooks.stop();
      await database?.close();
    },
  };
}

function connect(url: string): Database {
  return new Database({
    servers: new PostgresServers({ url }),
    schema: 'public',
    connectionsMax: 1,
    statementTimeoutMs: REQUEST_TIMEOUT_MS,
    applicationName: 'polychrome monitor',
    // The next round says so.
    onError: () => undefined,
  });
}

async function failureOf(database: Database): Promise<string | null> {
  try {
    await database.query('select 1');
    return null;
  } catch (error) {
    const { message, code } = error as { message?: string; code?: string };
    return maskCredentials(message === undefined || message === '' ? String(code ?? error) : message);
  }
}

const withoutSlash = (url: string): string => url.replace(/\/+$/, '');

async function fetchText(address: string): Promise<{ status: number; text: string }> {
  // fetch refuses URLs with credentials.
  const url = new URL(address);
  const { username, password } = url;
  [url.username, url.password] = ['', ''];
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  const headers: Record<string, string> =
    username === '' ? {} : { authorization: `Basic ${credentials.toString('base64')}` };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  return { status: response.status, text: await response.text() };
}
