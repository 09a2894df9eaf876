// Ways to bring a batch of entries into PostgreSQL, for micro-append.ts: the one in use, and those it is held against.

import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { StartupError } from '../src/errors.ts';
import { checksum, type Draft } from '../src/log/entry.ts';

/** Where the entries go. */
export interface Place {
  readonly url: string;
  /** Quoted schema of a migrated log. */
  readonly schema: string;
  readonly logId: string;
}

export interface AppendWay {
  readonly name: string;
  append(drafts: readonly Draft[]): Promise<void>;
  close(): Promise<void>;
}

/** A table like the log but for its partitions: the plain inserts go there. */
export const plainTable = (schema: string): string => `
  create table ${schema}.plain (like ${schema}.log including defaults including constraints including storage);
  alter table ${schema}.plain add primary key (lsn)`;

const APPEND_TYPES = 'uuid, uuid, text[], uuid[], text[], int[], bigint[], int[], bytea';

function appendText(schema: string): string {
  const parameters = APPEND_TYPES.split(', ').map((type, index) => `$${index + 1}::${type}`);
  return `select ${schema}.append(${parameters.join(', ')}) as results`;
}

/** The parameters of the server-side function: all bodies as one blob. */
function appendValues(logId: string, drafts: readonly Draft[]): unknown[] {
  return [
    randomUUID(),
    logId,
    drafts.map(({ kind }) => kind),
    drafts.map(({ target }) => target),
    drafts.map(({ header }) => header),
    drafts.map(({ dimension }) => dimension),
    drafts.map(checksum),
    drafts.map(({ body }) => body.length),
    drafts.length === 1 ? drafts[0]!.body : Buffer.concat(drafts.map(({ body }) => body)),
  ];
}

function mustBeTaken(results: unknown, count: number): void {
  const taken = (results as { s: string }[]).filter(({ s }) => s === 'ok').length;
  if (taken !== count)
    throw new Error(`${taken} of ${count} entries were taken: ${JSON.stringify(results).slice(0, 200)}`);
}

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

async function functionByPg({ url, schema, logId }: Place): Promise<AppendWay> {
  const client = await connected(url);
  return {
    name: 'function, one blob, `pg`',
    async append(drafts) {
      const query = { name: 'append', text: appendText(schema), values: appendValues(logId, drafts) };
      const { rows } = await client.query<{ results: unknown }>(query);
      mustBeTaken(rows[0]!.results, drafts.length);
    },
    close: () => client.end(),
  };
}

/** What is used of the `postgres` package. */
interface PostgresPackage {
  default(
    url: string,
    options: { max: number },
  ): {
    unsafe(text: string, values: unknown[], options: { prepare: boolean }): Promise<{ results: unknown }[]>;
    end(): Promise<void>;
  };
}

// The name in a variable: the package is no dependency, and the compiler would look for it.
const LOSER: string = 'postgres';

/** True when the other driver is installed. */
export async function hasOtherDriver(): Promise<boolean> {
  return import(LOSER).then(
    () => true,
    () => false,
  );
}

async function functionByPostgres({ url, schema, logId }: Place): Promise<AppendWay> {
  let driver: PostgresPackage;
  try {
    driver = (await import(LOSER)) as PostgresPackage;
  } catch (cause) {
    throw new StartupError('The package "postgres" is missing: npm install --no-save postgres@3.4.9', {
      cause,
    });
  }
  const sql = driver.default(url, { max: 1 });
  return {
    name: 'function, one blob, `postgres`',
    async append(drafts) {
      const [row] = await sql.unsafe(appendText(schema), appendValues(logId, drafts), { prepare: true });
      mustBeTaken(row!.results, drafts.length);
    },
    close: () => sql.end(),
  };
}

/** One statement, columns as arrays; `bytea[]` travels as hex text. */
async function arrays({ url, schema }: Place): Promise<AppendWay> {
  const client = await connected(url);
  let lsn = 0;
  const text = `insert into ${schema}.plain (lsn, kind, target, header, body, checksum, batch)
    select lsn, kind, target, header, body, checksum, $7::uuid
    from unnest($1::bigint[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::bigint[])
      as t(lsn, kind, target, header, body, checksum)`;
  return {
    name: 'one insert, `bytea[]`, `pg`',
    async append(drafts) {
      const columns = [
        drafts.map(() => ++lsn),
        drafts.map(({ kind }) => kind),
        drafts.map(({ target }) => target),
        drafts.map(({ header }) => header),
        drafts.map(({ body }) => body),
        drafts.map(checksum),
      ];
      await client.query({ name: 'arrays', text, values: [...columns, randomUUID()] });
    },
    close: () => client.end(),
  };
}

const COLUMNS = 7;

function valuesOf(lsn: number, batch: string, draft: Draft): unknown[] {
  return [lsn, draft.kind, draft.target, draft.header, draft.body, checksum(draft), batch];
}

/** The placeholders of one row. */
function tuple(_draft: Draft, index: number): string {
  const numbers = Array.from({ length: COLUMNS }, (_, column) => `$${index * COLUMNS + column + 1}`);
  return `(${numbers.join(',')})`;
}

/** One statement with a parameter for every value; bodies travel as they are. */
async function manyValues({ url, schema }: Place): Promise<AppendWay> {
  const client = await connected(url);
  let lsn = 0;
  return {
    name: 'one insert, many values, `pg`',
    async append(drafts) {
      const batch = randomUUID();
      const text = `insert into ${schema}.plain (lsn, kind, target, header, body, checksum, batch) values ${drafts.map(tuple).join(',')}`;
      const values = drafts.flatMap((draft) => valuesOf(++lsn, batch, draft));
      await client.query({ name: `values ${drafts.length}`, text, values });
    },
    close: () => client.end(),
  };
}

/** The bare loop: a statement and a commit for every entry. */
async function insertLoop({ url, schema }: Place): Promise<AppendWay> {
  const client = await connected(url);
  let lsn = 0;
  const text = `insert into ${schema}.plain (lsn, kind, target, header, body, checksum, batch) values ($1,$2,$3,$4,$5,$6,$7)`;
  return {
    name: 'bare insert loop, `pg`',
    async append(drafts) {
      const batch = randomUUID();
      for (const draft of drafts)
        await client.query({ name: 'one', text, values: valuesOf(++lsn, batch, draft) });
    },
    close: () => client.end(),
  };
}

/** Opens all ways, `postgres` only where it is installed. */
export async function openWays(place: Place): Promise<AppendWay[]> {
  const ways = [await functionByPg(place)];
  if (await hasOtherDriver()) ways.push(await functionByPostgres(place));
  ways.push(await arrays(place), await manyValues(place), await insertLoop(place));
  return ways;
}
