// What an append costs: the server-side function through two drivers, and what it is held against.
// Run: node bench/micro-append.ts   (for the comparison of drivers first: npm install --no-save postgres@3.4.9)

import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Draft } from '../src/log/entry.ts';
import { startPostgres } from '../src/local/postgres.ts';
import { Database } from '../src/postgres/database.ts';
import { migrate } from '../src/postgres/migrate.ts';
import { type AppendWay, hasOtherDriver, openWays, type Place, plainTable } from './append-ways.ts';
import { median } from './statistics.ts';

const BATCHES = [1, 64, 1_024];
const BODY_BYTES = [1_000, 64_000];
const ROUNDS = 3;
/** A cell of the table ends after this time, but not before a few batches. */
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
    url,
    schema: SCHEMA,
    connectionsMax: 2,
    statementTimeoutMs: 60_000,
    applicationName: 'bench',
    onError: console.error,
  });
  await migrate(database);
  await database.query(plainTable(database.schema));
  const shard = await makeShard(database);
  const [head] = await database.query<{ id: string }>(`select log_id as id from ${database.schema}.head`);
  const place: Place = { url, schema: database.schema, logId: head!.id };
  const ways = await openWays(place);
  if (!(await hasOtherDriver())) {
    console.log(
      'Without the driver "postgres": npm install --no-save postgres@3.4.9 adds it to the comparison.\n',
    );
  }
  console.log('| body | entries a batch | way | entries/s | MB/s |\n|--:|--:|---|--:|--:|');
  for (const bytes of BODY_BYTES) {
    for (const batch of BATCHES) {
      const drafts = Array.from({ length: batch }, () => draftOf(shard, bytes));
      for (const [way, rate] of await compare(ways, drafts, database)) {
        const speed = ((rate * bytes) / MB).toFixed(1);
        console.log(`| ${bytes / 1_000} kB | ${batch} | ${way.name} | ${Math.round(rate)} | ${speed} |`);
      }
    }
  }
  for (const way of ways) await way.close();
  await database.close();
}

/** A shard that takes records. */
async function makeShard(database: Database): Promise<string> {
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

/** Bytes that do not compress, as floats do not. */
function draftOf(shard: string, bytes: number): Draft {
  const body = randomBytes(bytes);
  return { kind: 'add', target: shard, header: '{"kind":"add"}', dimension: 128, body };
}

/** Entries a second of each way, medians of rounds in turn. */
async function compare(
  ways: readonly AppendWay[],
  drafts: readonly Draft[],
  database: Database,
): Promise<Map<AppendWay, number>> {
  const rates = new Map<AppendWay, number[]>(ways.map((way) => [way, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const way of ways) {
      await way.append(drafts); // prepares the statement
      rates.get(way)!.push(await measure(way, drafts));
      await database.query(
        `truncate ${database.schema}.log, ${database.schema}.plain, ${database.schema}.append_batch`,
      );
    }
  }
  return new Map([...rates].map(([way, values]) => [way, median(values)]));
}

async function measure(way: AppendWay, drafts: readonly Draft[]): Promise<number> {
  const startedAt = performance.now();
  let batches = 0;
  while (batches < CELL_BATCHES_MIN || performance.now() - startedAt < CELL_MS) {
    await way.append(drafts);
    batches += 1;
  }
  return (batches * drafts.length) / ((performance.now() - startedAt) / 1_000);
}
