import { afterAll, beforeAll, expect, test } from 'vitest';
import { testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from './database.ts';
import { LongValue } from './long-value.ts';

let postgres: TestPostgres;
let database: Database;
beforeAll(async () => {
  postgres = await testPostgres();
  database = await postgres.database(1);
});
afterAll(() => postgres.stop());

const TEXT = 'select $1::int as n, octet_length($2::bytea) as bytes, md5($2::bytea) as md5';
const run = (n: number, value: Buffer | LongValue): Promise<object[]> => database.query(TEXT, [n, value]);

test.each([
  ['one piece', [Buffer.alloc(5_000_000, 'abc')]],
  ['many, some of them empty', Array.from({ length: 2_000 }, (_, n) => Buffer.alloc(n % 7, n))],
  ['none', []],
])('arrives as the same bytes as a plain value: %s', async (_name, pieces) => {
  const [whole, inPieces] = [await run(1, Buffer.concat(pieces)), await run(1, new LongValue(pieces))];
  expect(inPieces).toEqual(whole);
});

test('works repeatedly and leaves the connection usable', async () => {
  const value = new LongValue([Buffer.alloc(300_000, 1), Buffer.alloc(300_000, 2)]);
  for (let n = 0; n < 3; n++) expect(await run(n, value)).toMatchObject([{ n, bytes: 600_000 }]);
  expect(await database.query('select 1 as one')).toEqual([{ one: 1 }]);
});

test('leaves the connection usable when the server refuses the statement', async () => {
  const value = new LongValue([Buffer.alloc(300_000)]);
  await expect(database.query('select 1 / $1::int, $2::bytea', [0, value])).rejects.toThrow(
    /division by zero/,
  );
  expect(await run(4, value)).toMatchObject([{ n: 4 }]);
});

test('is not sent when beforeSend throws', async () => {
  const refuse = (): never => {
    throw new Error('too late');
  };
  const value = new LongValue([Buffer.alloc(300_000)]);
  await expect(database.query(TEXT, [1, value], refuse)).rejects.toThrow('too late');
  expect(await run(5, value)).toMatchObject([{ n: 5 }]);
});
