// Migrations of tables that gateways of the release before use.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import { migrate } from './migrate.ts';
import { systemClock } from '../util/clock.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

test('a migration gives up after five attempts while the tables are in use', async () => {
  const database = await postgres.database();
  const s = database.schema;
  // The newest migration counts as missing, although what it creates exists.
  await database.query(
    `delete from ${s}.migration where version = (select max(version) from ${s}.migration)`,
  );
  const [reading, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const dump = database.transaction(async (query) => {
    await query(`lock table ${s}.head in access share mode`);
    reading.resolve();
    await end.promise;
  });
  await reading.promise;
  await expect(migrate(database, systemClock)).rejects.toThrow(
    `in the PostgreSQL schema ${s} are to be migrated and are in use`,
  );
  end.resolve();
  await dump;
  await expect(migrate(database, systemClock)).rejects.toThrow('already exists');
});
