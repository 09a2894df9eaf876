// Turns facts about what a gateway depends on into problems and warnings, each with what to do. Pure.

import type { Capabilities } from '../chroma/protocol/capabilities.ts';
import { CONNECTIONS_PER_GATEWAY } from './database-pools.ts';

export interface PostgresFacts {
  /** As in server_version_num. */
  readonly version: number;
  /** Connections that users may open, and those that are open. */
  readonly connections: number;
  readonly connectionsUsed: number;
  /** Whether the user may create a schema in the database. */
  readonly mayCreate: boolean;
  readonly hasSchema: boolean;
  readonly isStandby: boolean;
  readonly fsync: string;
  readonly fullPageWrites: string;
  readonly synchronousCommit: string;
  readonly synchronousStandbys: string;
  readonly databaseBytes: number;
  /** How far its clock is ahead of this machine's, ms. */
  readonly clockMs: number;
}

export type NodeFacts = { readonly id: string; readonly url: string } & (
  | { readonly error: string }
  | {
      readonly version: string;
      readonly capabilities: Capabilities;
      readonly clockMs: number | null;
      readonly marker: {
        readonly cluster: string;
        readonly node: string;
        readonly checkpoint: number;
      } | null;
      readonly isBlank: boolean;
      readonly collections: number;
    }
);

export interface ProcessFacts {
  /** Null where it is not known. */
  readonly openFilesMax: number | null;
  /** Of the container; null without a limit. */
  readonly memoryLimitBytes: number | null;
  /** Bodies and caches together. */
  readonly budgetBytes: number;
}

export interface DoctorFacts {
  readonly postgres: PostgresFacts | { readonly error: string };
  readonly nodes: readonly NodeFacts[];
  readonly process: ProcessFacts;
}

export interface Finding {
  readonly subject: string;
  readonly state: 'ok' | 'warning' | 'problem';
  readonly text: string;
  /** Null when there is nothing to do. */
  readonly fix: string | null;
}

const VERSION_MIN = 140_000;
// Beyond it, times in logs and events of different machines cannot be compared.
const CLOCK_MS_MAX = 1_000;
// Ten thousand client connections, and some for nodes and PostgreSQL.
const OPEN_FILES_MIN = 10_240;
// What the process needs in addition to its budgets (docs/performance.md).
const MEMORY_BASE_BYTES = 300 * 1024 * 1024;

const ok = (subject: string, text: string): Finding => ({ subject, state: 'ok', text, fix: null });
const warning = (subject: string, text: string, fix: string): Finding => ({
  subject,
  state: 'warning',
  text,
  fix,
});
const problem = (subject: string, text: string, fix: string): Finding => ({
  subject,
  state: 'problem',
  text,
  fix,
});

export function findingsOf({ postgres, nodes, process }: DoctorFacts): Finding[] {
  return [
    ...postgresFindings(postgres),
    ...nodes.flatMap(nodeFindings),
    ...clusterFindings(nodes),
    ...processFindings(process),
  ];
}

function postgresFindings(facts: DoctorFacts['postgres']): Finding[] {
  const subject = 'postgresql';
  if ('error' in facts) {
    const fix = 'Correct DATABASE_URL, start the server, or open its port for this machine.';
    return [problem(subject, `cannot be used: ${facts.error}`, fix)];
  }
  const found: Finding[] = [];
  const { version, connections, connectionsUsed, mayCreate, hasSchema, isStandby, clockMs } = facts;
  const release = `${Math.floor(version / 10_000)}.${version % 10_000}`;
  if (version < VERSION_MIN)
    found.push(problem(subject, `release ${release} is too old`, 'Upgrade to release 14 or later.'));
  else found.push(ok(subject, `release ${release}`));
  if (isStandby)
    found.push(
      problem(
        subject,
        'the server is a standby and accepts no writes',
        'Name the primary server in DATABASE_URL.',
      ),
    );
  if (!mayCreate && !hasSchema)
    found.push(
      problem(
        subject,
        'the user may not create the schema',
        'grant create on database … to …, or create DATABASE_SCHEMA with this user as its owner.',
      ),
    );
  const free = connections - connectionsUsed;
  if (free < CONNECTIONS_PER_GATEWAY)
    found.push(
      problem(
        subject,
        `${free} of ${connections} connections are free; a gateway needs ${CONNECTIONS_PER_GATEWAY}`,
        'Raise max_connections, or use a pooler.',
      ),
    );
  else
    found.push(
      ok(
        subject,
        `${free} of ${connections} connections are free: enough for ${Math.floor(free / CONNECTIONS_PER_GATEWAY)} more gateways`,
      ),
    );
  return [...found, ...durabilityFindings(facts), ...clockFindings(subject, clockMs)];
}

function durabilityFindings({
  fsync,
  fullPageWrites,
  synchronousCommit,
  synchronousStandbys,
}: PostgresFacts): Finding[] {
  const subject = 'postgresql';
  const found: Finding[] = [];
  if (fsync !== 'on')
    found.push(
      problem(subject, 'fsync is off: a power cut loses or damages acknowledged writes', 'Set fsync = on.'),
    );
  if (fullPageWrites !== 'on')
    found.push(
      problem(subject, 'full_page_writes is off: a power cut damages the log', 'Set full_page_writes = on.'),
    );
  if (synchronousCommit === 'off')
    found.push(
      problem(
        subject,
        'synchronous_commit is off: a crash loses acknowledged writes',
        'Set synchronous_commit = on for this database.',
      ),
    );
  else if (synchronousStandbys === '')
    found.push(
      warning(
        subject,
        'no synchronous standby: the loss of this server loses acknowledged writes',
        'Set synchronous_standby_names, or use a managed service that replicates synchronously.',
      ),
    );
  return found;
}

function clockFindings(subject: string, clockMs: number | null): Finding[] {
  if (clockMs === null || Math.abs(clockMs) <= CLOCK_MS_MAX) return [];
  const side = clockMs > 0 ? 'ahead of' : 'behind';
  const text = `its clock is ${Math.abs(clockMs)} ms ${side} the clock of this machine`;
  return [
    warning(subject, text, 'Synchronize both with NTP. No write depends on it; times in logs and events do.'),
  ];
}

function nodeFindings(node: NodeFacts): Finding[] {
  const subject = `node ${node.id}`;
  if ('error' in node) {
    return [problem(subject, `${node.url}: ${node.error}`, 'Start the server, or correct its address.')];
  }
  const { version, capabilities, marker, isBlank, collections, clockMs } = node;
  const schema = capabilities.schema ? 'with schemas' : 'without schemas';
  const found = [
    ok(
      subject,
      `${node.url}: version ${version}, ${schema}, at most ${capabilities.maxBatchSize} records a call`,
    ),
    ...clockFindings(subject, clockMs),
  ];
  if (marker !== null && marker.node !== node.id)
    found.push(
      problem(
        subject,
        `the server is node "${marker.node}" of cluster ${marker.cluster}`,
        `Name it ${marker.node} in NODES, or start ${node.id} at this address.`,
      ),
    );
  else if (marker !== null) found.push(ok(subject, `a member, with LSN ${marker.checkpoint} in its marker`));
  else if (isBlank) found.push(ok(subject, 'empty: it can join'));
  else
    found.push(
      problem(
        subject,
        `not a member, and holds ${collections} collections`,
        'A new node must be empty: start it with a new data directory.',
      ),
    );
  return found;
}

function clusterFindings(nodes: readonly NodeFacts[]): Finding[] {
  const found: Finding[] = [];
  if (nodes.length === 1)
    found.push(
      warning('nodes', 'one node: reads and writes stop when it fails', 'Add a second and a third node.'),
    );
  const reached = nodes.filter((node) => !('error' in node));
  const clusters = new Set(
    reached.flatMap((node) => ('marker' in node && node.marker !== null ? [node.marker.cluster] : [])),
  );
  if (clusters.size > 1)
    found.push(
      problem(
        'nodes',
        `the servers belong to ${clusters.size} clusters: ${[...clusters].join(', ')}`,
        'Correct NODES: all must be of one cluster.',
      ),
    );
  const abilities = new Set(
    reached.map((node) => ('capabilities' in node ? JSON.stringify(node.capabilities) : '')),
  );
  if (abilities.size > 1)
    found.push(
      warning(
        'nodes',
        'the servers are of different releases: clients get what all of them can do',
        'Upgrade the older ones.',
      ),
    );
  return found;
}

function processFindings({ openFilesMax, memoryLimitBytes, budgetBytes }: ProcessFacts): Finding[] {
  const found: Finding[] = [];
  const subject = 'process';
  if (openFilesMax !== null && openFilesMax < OPEN_FILES_MIN)
    found.push(
      warning(
        subject,
        `${openFilesMax} open files are allowed; 10,000 client connections need ${OPEN_FILES_MIN}`,
        `ulimit -n ${OPEN_FILES_MIN}`,
      ),
    );
  if (memoryLimitBytes !== null && budgetBytes + MEMORY_BASE_BYTES > memoryLimitBytes)
    found.push(
      problem(
        subject,
        `bodies and caches may take ${mebibytes(budgetBytes)} MiB in addition to ${mebibytes(MEMORY_BASE_BYTES)} MiB; the container has ${mebibytes(memoryLimitBytes)} MiB`,
        'Lower BODY_BUDGET_BYTES, RESULT_CACHE_BYTES and RECORD_CACHE_BYTES, or raise the limit.',
      ),
    );
  return found.length === 0 ? [ok(subject, 'memory and open files suffice')] : found;
}

const mebibytes = (bytes: number): number => Math.round(bytes / 1_048_576);
