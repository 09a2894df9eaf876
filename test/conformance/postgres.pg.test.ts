// The model of PostgreSQL that the simulation runs on does what a real server does: both get the same calls.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakePostgres } from '../support/fake-postgres/server.ts';
import { testPostgres, type TestPostgres } from '../support/postgres.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { CHROMA_1_0_5, WITH_ARRAYS } from '../support/capability-levels.ts';
import { contentOf, drawCall, plain, StorageSubject } from './postgres-calls.ts';

const CALLS = 400;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await testPostgres();
});
afterAll(() => postgres.stop());

function model(): FakePostgres {
  const random = seededRandom(1);
  // No two statements have the same time: a real server orders copies by microseconds.
  let at = 0;
  const now = (): number => (at = Math.max(at + 1, Date.now()));
  return new FakePostgres({ now, random, newId: () => randomUUID() });
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

  test.each(['real', 'modelled'])(
    'R19: a %s server appends nothing that was validated before the capability level was lowered',
    async (which) => {
      const database =
        which === 'real' ? await postgres.database() : model().database(async (execute) => execute());
      const subject = new StorageSubject(database);
      subject.epochs.push((await subject.lease.acquire('g', await subject.lease.read()))!);
      await subject.capabilities.join('a', WITH_ARRAYS, 2, subject.epoch(0));
      const { revision: before } = subject.capabilities.current;
      await subject.capabilities.join('b', CHROMA_1_0_5, 2, subject.epoch(0));
      const { revision, metadataArrays } = subject.capabilities.current;
      expect([metadataArrays, revision > before]).toEqual([false, true]);
      const append = (tenant: string, validatedUnder?: number): Promise<unknown> => {
        const draft = { kind: 'create_tenant', target: null, dimension: null, body: Buffer.alloc(0) };
        const under = validatedUnder === undefined ? {} : { revision: validatedUnder };
        return outcomeOf(() =>
          subject.append(
            randomUUID(),
            [
              { ...draft, header: JSON.stringify({ tenant }) },
              { ...draft, header: '{"tenant":"t"}', ...under },
            ],
            0,
          ),
        );
      };
      expect(await append('first', before)).toMatchObject({ code: 'PC007' });
      expect((await subject.log.head()).lsn).toBe(0);
      expect(await append('second', revision)).toMatchObject([
        { s: 'ok', lsn: 1 },
        { s: 'ok', lsn: 2 },
      ]);
      // Also when the first entry came from a gateway that knew.
      expect(await append('third', before)).toMatchObject({ code: 'PC007' });
      expect(await append('fourth')).toMatchObject([{ s: 'ok', lsn: 3 }, { s: 'exists' }]);
      expect(
        await subject.capabilities.join('c', { ...CHROMA_1_0_5, maxBatchSize: 1 }, 3, subject.epoch(0)),
      ).toContain('maxBatchSize');
      expect(subject.capabilities.current.revision).toBe(revision);
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
