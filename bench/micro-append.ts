// Micro-benchmark of appends to PostgreSQL: the server-side function against alternative statements and drivers.
// Run: node bench/micro-append.ts   (to include the second driver: npm install --no-save postgres@3.4.9)

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Draft } from '../src/log/entry.ts';
import { startPostgres } from '../src/local/postgres.ts';
import { Database } from '../src/postgres/database.ts';
import { PostgresServers } from '../src/postgres/postgres-servers.ts';
import { migrate } from '../src/postgres/migrate.ts';
import {
  type AppendStrategy,
  type AppendTarget,
  hasPostgresPackage,
  openStrategies,
  plainTable,
} from './append-strategies.ts';
import { median } from './statistics.ts';
import { systemClock } from '../src/util/clock.ts';

const BATCHES = [1, 64, 1_024];
const BODY_BYTES = [1_000, 64_000];
const ROUNDS = 3;
/** Duration of one measurement, extended to the minimum number of batches. */
const CELL_MS = 700;
const CELL_BATCHES_MIN = 2;
const MB = 1e6;
const SCHEMA = 'bench_append';

const dir = mkdtempSync(join(tmpdir(), 'polychrome-append-'));
const postgres = await startPostgres({ dir: join(dir, 'postgres') });
try {
  await run(postgres.url);
} finally {
  await postgres.stop();
  rmSync(dir, { recursive: true, force: true });
}

async function run(url: string): Promise<void> {
  const database = new Database({
    servers: new PostgresServers({ url }),
    schema: SCHEMA,
    connectionsMax: 2,
    statementTimeoutMs: 60_000,
    applicationName: 'bench',
    onError: console.error,
  });
  await migrate(database, systemClock);
  await database.query(plainTable(database.schema));
  const shard = await createShard(database);
  const [head] = await database.query<{ id: string }>(`select log_id as id from ${database.schema}.head`);
  const target: AppendTarget = { url, schema: database.schema, logId: head!.id };
  const strategies = await openStrategies(target);
  if (!(await hasPostgresPackage())) {
    console.log(
      'The package "postgres" is not installed and is skipped. To include it: npm install --no-save postgres@3.4.9\n',
    );
  }
  console.log('| body | entries per batch | strategy | entries/s | MB/s |\n|--:|--:|---|--:|--:|');
  for (const bytes of BODY_BYTES) {
    for (const batch of BATCHES) {
      const drafts = Array.from({ length: batch }, () => createDraft(shard, bytes));
      for (const [strategy, rate] of await compare(strategies, drafts, database)) {
        const speed = ((rate * bytes) / MB).toFixed(1);
        console.log(`| ${bytes / 1_000} kB | ${batch} | ${strategy.name} | ${Math.round(rate)} | ${speed} |`);
      }
    }
  }
  for (const strategy of strategies) await strategy.close();
  await database.close();
}

/** Creates a shard that accepts records. */
async function createShard(database: Database): Promise<string> {
  const collection = randomUUID();
  const shard = randomUUID();
  await database.query(
    `insert into ${database.schema}.collection
     values ($1, 'default_tenant', 'default_database', 'bench', 'ready', null, 0, 1)`,
    [collection],
  );
  await database.query(`insert into ${database.schema}.shard values ($1, $2, null, 0, true)`, [
    shard,
    collection,
  ]);
  return shard;
}

/** A draft with an incompressible body, like one of floats. */
function createDraft(shard: string, bytes: number): Draft {
  const body = randomBytes(bytes);
  return { kind: 'add', target: shard, header: '{"kind":"add"}', dimension: 128, body };
}

/** Median entries/s of each strategy over alternating rounds. */
async function compare(
  strategies: readonly AppendStrategy[],
  drafts: readonly Draft[],
  database: Database,
): Promise<Map<AppendStrategy, number>> {
  const rates = new Map<AppendStrategy, number[]>(strategies.map((strategy) => [strategy, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const strategy of strategies) {
      await strategy.append(drafts); // prepares the statement
      rates.get(strategy)!.push(await measure(strategy, drafts));
      await database.query(
        `truncate ${database.schema}.log, ${database.schema}.plain, ${database.schema}.append_batch`,
      );
    }
  }
  return new Map([...rates].map(([strategy, values]) => [strategy, median(values)]));
}

async function measure(strategy: AppendStrategy, drafts: readonly Draft[]): Promise<number> {
  const startedAt = performance.now();
  let batches = 0;
  while (batches < CELL_BATCHES_MIN || performance.now() - startedAt < CELL_MS) {
    await strategy.append(drafts);
    batches += 1;
  }
  return (batches * drafts.length) / ((performance.now() - startedAt) / 1_000);
}
