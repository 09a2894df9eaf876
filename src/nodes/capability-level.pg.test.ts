import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { takeLease, testPostgres, type TestPostgres } from '../../test/support/postgres.ts';
import type { Database } from '../postgres/database.ts';
import { CapabilityLevel } from './capability-level.ts';

const NEWER = { ...CHROMA_1_0_5, metadataArrays: true, base64Embeddings: true };

let postgres: TestPostgres;
let database: Database;
let level: CapabilityLevel;
let epoch: number;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = await postgres.database();
  epoch = await takeLease(database, 'one');
  level = new CapabilityLevel(database);
  for (const node of ['a', 'b']) await level.join(node, CHROMA_1_0_5, 2, epoch);
  await database.query(`update ${database.schema}.head set lsn = 1`);
});

test('rises when the last server was replaced by a newer one, and stays', async () => {
  expect(await level.join('a', NEWER, 2, epoch)).toBeNull();
  expect(level.current.metadataArrays).toBe(false);
  expect(await level.join('b', NEWER, 2, epoch)).toBeNull();
  expect(level.current.metadataArrays).toBe(true);
  expect(await level.join('a', CHROMA_1_0_5, 2, epoch)).toContain('metadataArrays');
  expect(level.current.metadataArrays).toBe(true);
});

test('does not rise under an epoch that is over', async () => {
  await level.join('a', NEWER, 2, epoch);
  await level.join('b', NEWER, 2, epoch - 1);
  expect(level.current.metadataArrays).toBe(false);
});

test('refuses no node under an epoch that is over while no level is stored', async () => {
  await database.query(`update ${database.schema}.head set lsn = 0, capabilities = null`);
  const other = new CapabilityLevel(database);
  await expect(other.join('a', NEWER, 2, epoch - 1)).rejects.toThrow('the lease has moved on');
  expect(await other.join('a', NEWER, 2, epoch)).toBeNull();
  expect(other.current.metadataArrays).toBe(true);
});

describe('servers that join an empty log at the same moment', () => {
  beforeEach(async () => {
    database = await postgres.database();
    epoch = await takeLease(database, 'one');
    level = new CapabilityLevel(database);
  });

  test('lower nothing when they can do the same: what was validated before is appended', async () => {
    await Promise.all(['a', 'b', 'c'].map((node) => level.join(node, NEWER, 3, epoch)));
    expect(level.current).toEqual({ ...NEWER, revision: 0 });
  });

  test.each([
    ['the newer one first', [NEWER, CHROMA_1_0_5], 1],
    ['the older one first', [CHROMA_1_0_5, NEWER], 0],
  ] as const)('have the level of the older one: %s', async (_order, servers, revision) => {
    await Promise.all(servers.map((server, index) => level.join(`node-${index}`, server, 2, epoch)));
    expect(level.current).toEqual({ ...CHROMA_1_0_5, revision });
  });
});
