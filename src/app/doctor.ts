// Looks at what a gateway depends on, before or while one runs: PostgreSQL, the Chroma servers, this process. Changes
// nothing anywhere.

import { createUnverifiedNodeClient, type NodeClient } from '../chroma/client/node-client.ts';
import { probeCapabilities } from '../chroma/client/probe-capabilities.ts';
import type { Config } from '../config/config.ts';
import { inspectNode } from '../nodes/marker.ts';
import type { NodeDirectory } from '../nodes/node-directory.ts';
import { Database } from '../postgres/database.ts';
import type { Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { postgresServers } from './database-pools.ts';
import { nodeDirectoryOf } from './deps.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import { containerUsage } from '../observability/container.ts';
import { textOf } from './observation.ts';
import type { DoctorFacts, NodeFacts, PostgresFacts } from './findings.ts';

const DEADLINE_MS = 5_000;
const nothing = (): void => undefined;
const QUIET: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Everything that can be learned within some seconds; that something cannot be reached is one of the facts. */
export async function collectFacts(config: Config, clock: Clock): Promise<DoctorFacts> {
  const [postgres, nodes] = await Promise.all([
    postgresFacts(config, clock),
    allNodeFacts(nodeDirectoryOf(config), clock),
  ]);
  const openFiles = /^Max open files\s+(\d+)/m.exec(textOf('/proc/self/limits') ?? '')?.[1];
  return {
    postgres,
    nodes,
    process: {
      openFilesMax: openFiles === undefined ? null : Number(openFiles),
      memoryLimitBytes: containerUsage(textOf).memoryLimitBytes,
      budgetBytes: config.BODY_BUDGET_BYTES + config.RESULT_CACHE_BYTES + config.RECORD_CACHE_BYTES,
    },
  };
}

async function postgresFacts(config: Config, clock: Clock): Promise<PostgresFacts | { error: string }> {
  const database = new Database({
    servers: postgresServers(config, { clock, logger: QUIET }),
    schema: config.DATABASE_SCHEMA,
    connectionsMax: 1,
    statementTimeoutMs: DEADLINE_MS,
    applicationName: 'polychrome doctor',
    onError: () => undefined,
  });
  try {
    const sent = clock.now();
    const [row] = await database.query(
      `select current_setting('server_version_num')::int as version,
              current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections,
              (select count(*) from pg_stat_activity where backend_type = 'client backend') as "connectionsUsed",
              has_database_privilege(current_database(), 'create') as "mayCreate",
              pg_is_in_recovery() as "isStandby",
              current_setting('fsync') as fsync, current_setting('full_page_writes') as "fullPageWrites",
              current_setting('synchronous_commit') as "synchronousCommit",
              current_setting('synchronous_standby_names') as "synchronousStandbys",
              pg_database_size(current_database()) as "databaseBytes",
              to_regnamespace($1) is not null as "hasSchema",
              floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now`,
      [database.schema],
    );
    const { now, ...facts } = row as unknown as PostgresFacts & { now: number };
    return { ...facts, clockMs: differenceMs(now, sent, clock.now()) };
  } catch (error) {
    return { error: textOfError(error) };
  } finally {
    await database.close().catch(() => undefined);
  }
}

async function allNodeFacts(directory: NodeDirectory, clock: Clock): Promise<NodeFacts[]> {
  try {
    return await Promise.all((await directory.nodes()).map((node) => nodeFacts(node, clock)));
  } catch (error) {
    return [{ id: directory.name, url: 'NODES', error: textOfError(error) }];
  }
}

async function nodeFacts(node: { id: string; url: string }, clock: Clock): Promise<NodeFacts> {
  const { id, url } = node;
  const address = { id, url: maskCredentials(url) };
  const client = createUnverifiedNodeClient({ url, clock, readConnections: 1, mutateConnections: 1 });
  try {
    const sent = clock.now();
    const heartbeat = await textFrom(client, '/api/v2/heartbeat');
    const received = clock.now();
    const nanoseconds = /"nanosecond heartbeat":\s*(\d+)/.exec(heartbeat)?.[1];
    const version = (await textFrom(client, '/api/v2/version')).replaceAll('"', '').trim();
    const [capabilities, { marker, blank, collections }] = await Promise.all([
      probeCapabilities(client, DEADLINE_MS),
      inspectNode(client, DEADLINE_MS),
    ]);
    return {
      ...address,
      version,
      capabilities,
      clockMs: nanoseconds === undefined ? null : differenceMs(Number(nanoseconds) / 1e6, sent, received),
      marker:
        marker === null
          ? null
          : { cluster: marker.cluster, node: marker.node, checkpoint: marker.progress?.checkpoint ?? 0 },
      isBlank: blank,
      collections,
    };
  } catch (error) {
    return { ...address, error: textOfError(error) };
  } finally {
    await client.destroy().catch(() => undefined);
  }
}

async function textFrom(client: NodeClient, path: string): Promise<string> {
  const { status, body } = await client.read({ method: 'GET', path, deadlineMs: DEADLINE_MS });
  if (status !== 200) throw new Error(`${path} responds with status ${status}`);
  return body.toString();
}

/** How far another clock is ahead, beyond what the time of the request explains; negative: behind. */
function differenceMs(theirs: number, sent: number, received: number): number {
  if (theirs < sent) return Math.round(theirs - sent);
  return theirs > received ? Math.round(theirs - received) : 0;
}

function textOfError(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return maskCredentials(message === undefined || message === '' ? String(code ?? error) : message);
}
