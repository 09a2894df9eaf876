// The model of PostgreSQL that the simulation runs on does what a real server does: both get the same calls.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakePostgres } from '../support/fake-postgres/server.ts';
import { testPostgres, type TestPostgres } from '../support/postgres.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { contentOf, drawCall, plain, StorageSubject } from './postgres-calls.ts';

const CALLS = 400;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

function model(): FakePostgres {
  const random = seededRandom(1);
  return new FakePostgres({ now: () => Date.now(), random, newId: () => randomUUID() });
}

/** What a call returns or throws. */
async function outcomeOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return plain(await call());
  } catch (error) {
    const { code, name, message } = error as Error & { code?: string };
    return { code: code ?? name, message: code === undefined ? message : '' };
  }
}

describe('the model of PostgreSQL', () => {
  test.each([1, 2, 3, 4])(
    'returns and holds what a real server does in random calls, seed %i',
    async (seed) => {
      const real = new StorageSubject(await postgres.database());
      const fake = new StorageSubject(model().database(async (execute) => execute()));
      const random = seededRandom(seed);
      for (let i = 0; i < CALLS; i++) {
        const before = random();
        // The same draws for each subject, also those that a call makes when it is made.
        const make = (subject: StorageSubject): Promise<unknown> => {
          const draws = seededRandom(Math.floor(before * 2 ** 31));
          const call = drawCall((limit) => Math.floor(draws() * limit));
          return outcomeOf(() => call.make(subject)).then((outcome) => [call.name, outcome]);
        };
        const wanted = await make(real);
        expect({ i, outcome: await make(fake) }).toEqual({ i, outcome: wanted });
        if (i % 20 === 0) expect(await contentOf(fake), `after ${i} calls`).toEqual(await contentOf(real));
      }
      expect(await contentOf(fake)).toEqual(await contentOf(real));
    },
  );

  test('is found to differ when it forgets a condition', async () => {
    const real = new StorageSubject(await postgres.database());
    const server = model();
    const fake = new StorageSubject(server.database(async (execute) => execute()));
    for (const subject of [real, fake]) {
      await subject.members.seed([{ id: 'a', url: 'http://a' }]);
      subject.epochs.push((await subject.lease.acquire('g', await subject.lease.read()))!);
    }
    server.tables.setNode('a', { checkpoint: 7 });
    expect(await contentOf(fake)).toEqual(await contentOf(real)); // not admitted: not shown
    for (const subject of [real, fake])
      await subject.nodes.add(subject.epoch(0), {
        id: 'a',
        url: 'http://a',
        incarnation: randomUUID(),
        checkpoint: 0,
      });
    expect(await contentOf(fake)).not.toEqual(await contentOf(real));
  });
});
