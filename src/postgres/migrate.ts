// Runs the numbered migrations under a lock, so that gateways can start at the same time; refuses a newer schema.

import { sleep, type Clock } from '../util/clock.ts';
import { StartupError } from '../errors.ts';
import type { Database } from './database.ts';
import { logAndCatalog } from './migrations/0001-log-and-catalog.ts';
import { append } from './migrations/0002-append.ts';
import { leading } from './migrations/0003-leading.ts';
import { everyEntryEnds } from './migrations/0004-every-entry-ends.ts';
import { deleteTenant } from './migrations/0005-delete-tenant.ts';
import { appliedRecords } from './migrations/0006-applied-records.ts';
import { logContinuity } from './migrations/0007-log-continuity.ts';
import { scrub } from './migrations/0008-scrub.ts';
import { operating } from './migrations/0009-operating.ts';
import { termToken } from './migrations/0010-term-token.ts';
import { copies } from './migrations/0011-copies.ts';
import { nodesAtRunTime } from './migrations/0012-nodes-at-run-time.ts';
import { history } from './migrations/0013-history.ts';
import { uncompared } from './migrations/0014-uncompared.ts';
import { filling } from './migrations/0015-filling.ts';
import { adoption } from './migrations/0016-adoption.ts';
import { recovery } from './migrations/0017-recovery.ts';
import { retiredCollections } from './migrations/0018-retired-collections.ts';
import { gateways } from './migrations/0019-gateways.ts';
import { gatewayNumbers } from './migrations/0020-gateway-numbers.ts';
import { decisionsOfEntries } from './migrations/0021-decisions-of-entries.ts';
import { capabilityRevision } from './migrations/0022-capability-revision.ts';
import { beginnings } from './migrations/0023-beginnings.ts';
import { takenEntries } from './migrations/0024-taken-entries.ts';

const MIGRATIONS: readonly ((schema: string) => string)[] = [
  logAndCatalog,
  append,
  leading,
  everyEntryEnds,
  deleteTenant,
  appliedRecords,
  logContinuity,
  scrub,
  operating,
  termToken,
  copies,
  nodesAtRunTime,
  history,
  uncompared,
  filling,
  adoption,
  recovery,
  retiredCollections,
  gateways,
  gatewayNumbers,
  decisionsOfEntries,
  capabilityRevision,
  beginnings,
  takenEntries,
];

/** SQLSTATE lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03';
// A large append holds the lock for a second; appends that queue behind an attempt go on before the next one.
const ATTEMPTS_MAX = 5;
const PAUSE_MS = 500;

/** Migrates the schema to this release's version. Throws StartupError when the schema is newer than the code, or in use for long. */
export async function migrate(database: Database, clock: Clock): Promise<{ from: number; to: number }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await migrateOnce(database);
    } catch (error) {
      if ((error as { code?: unknown }).code !== LOCK_NOT_AVAILABLE) throw error;
      if (attempt === ATTEMPTS_MAX) throw tablesInUse(database.schema);
    }
    await sleep(clock, PAUSE_MS);
  }
}

async function migrateOnce(database: Database): Promise<{ from: number; to: number }> {
  const s = database.schema;
  return database.transaction(async (query) => {
    // One lock for all schemas of a server: migrations are short and rare.
    await query(`select pg_advisory_xact_lock(hashtext('polychrome migrations'))`);
    await query(`create schema if not exists ${s}`);
    await query(
      `create table if not exists ${s}.migration (
         version int primary key, applied_at timestamptz not null default now())`,
    );
    const [row] = await query<{ version: number }>(
      `select coalesce(max(version), 0) as version from ${s}.migration`,
    );
    const from = row?.version ?? 0;
    if (from > MIGRATIONS.length) {
      throw new StartupError(
        `The PostgreSQL schema ${s} is at version ${from}, made by a newer Polychrome; this release knows ` +
          `versions up to ${MIGRATIONS.length}. Start the newer release, or point DATABASE_SCHEMA elsewhere.`,
      );
    }
    if (from > 0 && from < MIGRATIONS.length) await lockHead(query, s);
    for (const [index, migration] of MIGRATIONS.entries()) {
      if (index < from) continue;
      await query(migration(s));
      await query(`insert into ${s}.migration (version) values ($1)`, [index + 1]);
    }
    return { from, to: MIGRATIONS.length };
  });
}

/**
 * Locks the head first, as gateways of the release before do, so that the two cannot deadlock. Every append queues behind the
 * lock, so the wait for it is short.
 */
async function lockHead(query: Database['query'], schema: string): Promise<void> {
  await query(`set local lock_timeout = '500ms'`);
  await query(`lock table ${schema}.head in access exclusive mode`);
}

function tablesInUse(schema: string): StartupError {
  return new StartupError(
    `The tables in the PostgreSQL schema ${schema} are to be migrated and are in use, by pg_dump or by another long ` +
      'transaction. Nothing was changed. Start again when it has ended.',
  );
}
