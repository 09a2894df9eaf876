// Strategies for appending a batch of entries to PostgreSQL, compared by micro-append.ts: the one in use first.

import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { StartupError } from '../src/errors.ts';
import { checksum, type Draft } from '../src/log/entry.ts';

/** The log that strategies append to. */
export interface AppendTarget {
  readonly url: string;
  /** Quoted schema of a migrated log. */
  readonly schema: string;
  readonly logId: string;
}

export interface AppendStrategy {
  readonly name: string;
  append(drafts: readonly Draft[]): Promise<void>;
  close(): Promise<void>;
}

/** An unpartitioned copy of the log table, for the plain inserts. */
export const plainTable = (schema: string): string => `
  create table ${schema}.plain (like ${schema}.log including defaults including constraints including storage);
  alter table ${schema}.plain add primary key (lsn)`;

const APPEND_TYPES = 'uuid, uuid, text[], uuid[], text[], int[], bigint[], int[], bytea';

function appendText(schema: string): string {
  const parameters = APPEND_TYPES.split(', ').map((type, index) => `$${index + 1}::${type}`);
  return `select ${schema}.append(${parameters.join(', ')}) as results`;
}

/** Parameters of the server-side function, with all bodies in one blob. */
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

function assertAccepted(results: unknown, count: number): void {
  const accepted = (results as { s: string }[]).filter(({ s }) => s === 'ok').length;
  if (accepted !== count)
    throw new Error(
      `${accepted} of ${count} entries were accepted: ${JSON.stringify(results).slice(0, 200)}`,
    );
}

async function connectTo(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

async function functionByPg({ url, schema, logId }: AppendTarget): Promise<AppendStrategy> {
  const client = await connectTo(url);
  return {
    name: 'function, one blob, `pg`',
    async append(drafts) {
      const query = { name: 'append', text: appendText(schema), values: appendValues(logId, drafts) };
      const { rows } = await client.query<{ results: unknown }>(query);
      assertAccepted(rows[0]!.results, drafts.length);
    },
    close: () => client.end(),
  };
}

/** The part of the `postgres` package used here. */
interface PostgresPackage {
  default(
    url: string,
    options: { max: number },
  ): {
    unsafe(text: string, values: unknown[], options: { prepare: boolean }): Promise<{ results: unknown }[]>;
    end(): Promise<void>;
  };
}

// A variable, because the package is not a dependency and the compiler would try to resolve a literal.
const POSTGRES_PACKAGE: string = 'postgres';

/** True when the `postgres` package is installed. */
export async function hasPostgresPackage(): Promise<boolean> {
  return import(POSTGRES_PACKAGE).then(
    () => true,
    () => false,
  );
}

async function functionByPostgres({ url, schema, logId }: AppendTarget): Promise<AppendStrategy> {
  let driver: PostgresPackage;
  try {
    driver = (await import(POSTGRES_PACKAGE)) as PostgresPackage;
  } catch (cause) {
    throw new StartupError(
      'The package "postgres" is not installed. Run: npm install --no-save postgres@3.4.9',
      {
        cause,
      },
    );
  }
  const sql = driver.default(url, { max: 1 });
  return {
    name: 'function, one blob, `postgres`',
    async append(drafts) {
      const [row] = await sql.unsafe(appendText(schema), appendValues(logId, drafts), { prepare: true });
      assertAccepted(row!.results, drafts.length);
    },
    close: () => sql.end(),
  };
}

/** One insert with array parameters; `pg` sends `bytea[]` as hex text. */
async function insertArrays({ url, schema }: AppendTarget): Promise<AppendStrategy> {
  const client = await connectTo(url);
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

/** Placeholders of one row. */
function placeholders(_draft: Draft, index: number): string {
  const numbers = Array.from({ length: COLUMNS }, (_, column) => `$${index * COLUMNS + column + 1}`);
  return `(${numbers.join(',')})`;
}

/** One insert with one parameter per value; bodies are sent as binary. */
async function insertValues({ url, schema }: AppendTarget): Promise<AppendStrategy> {
  const client = await connectTo(url);
  let lsn = 0;
  return {
    name: 'one insert, many values, `pg`',
    async append(drafts) {
      const batch = randomUUID();
      const text = `insert into ${schema}.plain (lsn, kind, target, header, body, checksum, batch) values ${drafts.map(placeholders).join(',')}`;
      const values = drafts.flatMap((draft) => valuesOf(++lsn, batch, draft));
      await client.query({ name: `values ${drafts.length}`, text, values });
    },
    close: () => client.end(),
  };
}

/** One insert and one commit per entry. */
async function insertLoop({ url, schema }: AppendTarget): Promise<AppendStrategy> {
  const client = await connectTo(url);
  let lsn = 0;
  const text = `insert into ${schema}.plain (lsn, kind, target, header, body, checksum, batch) values ($1,$2,$3,$4,$5,$6,$7)`;
  return {
    name: 'one insert per entry, `pg`',
    async append(drafts) {
      const batch = randomUUID();
      for (const draft of drafts)
        await client.query({ name: 'one', text, values: valuesOf(++lsn, batch, draft) });
    },
    close: () => client.end(),
  };
}

/** Opens all strategies; the one on the `postgres` package only if it is installed. */
export async function openStrategies(target: AppendTarget): Promise<AppendStrategy[]> {
  const strategies = [await functionByPg(target)];
  if (await hasPostgresPackage()) strategies.push(await functionByPostgres(target));
  strategies.push(await insertArrays(target), await insertValues(target), await insertLoop(target));
  return strategies;
}
