// Histories of faults under a seed: every healthy copy ends with the content that the log describes.

import { describe, expect, test } from 'vitest';
import { MemoryReplication, SETTLE_MS, SHARD } from '../support/memory-replication.ts';
import { isReserved, upsert } from '../simulation/scenario.ts';
import { seededRandom } from '../support/seeded-random.ts';

describe('under random faults of calls and processes', () => {
  const ENTRIES = 60;

  test.each(Array.from({ length: 12 }, (_, seed) => seed))(
    'seed %i: every healthy copy ends with the content that the log describes',
    async (seed) => {
      const random = seededRandom(seed);
      const replication = new MemoryReplication({ nodes: ['a', 'b', 'c'], random: seededRandom(7) });
      await replication.start();
      replication.create();
      await replication.caughtUp();
      const model = new MemoryReplication({ nodes: ['model'], random: seededRandom(seed) });
      await model.start();
      model.create();
      for (const { fake } of replication.replicas) {
        fake.choose = ({ mutates, path }) => {
          if (isReserved({ path }) || random() > 0.3) return null;
          if (!mutates) return 'drop_before';
          const faults = ['drop_before', 'drop_after', 'late', { slowMs: 700 * random() }] as const;
          return faults[Math.floor(random() * faults.length)]!;
        };
      }
      for (let n = 0; n < ENTRIES; n++) {
        const id = `r${Math.floor(random() * 5)}`;
        const kind = (['add', 'upsert', 'update', 'delete'] as const)[Math.floor(random() * 4)]!;
        const doomed = random() < 0.5 ? `{"ids":["${id}"]}` : `{"where_document":{"$contains":"${n % 10}"}}`;
        for (const each of [replication, model]) each.write(kind, kind === 'delete' ? doomed : upsert(id, n));
        const { fake } = replication.replicas[Math.floor(random() * 3)]!;
        // Within the settling time, as the guarantee has it.
        if (random() < 0.3) await replication.clock.pass(SETTLE_MS * random(), 10);
        for (const replica of replication.replicas) replica.fake.runLate();
        if (random() < 0.05) {
          fake.kill();
          await replication.clock.pass(50, 10);
          fake.start();
        }
      }
      for (const { fake } of replication.replicas) fake.choose = () => null;
      expect(replication.replicas.some(({ member }) => member.lastError !== null)).toBe(true);
      await replication.caughtUp();
      await model.caughtUp();
      // Five failed attempts in a row make a copy suspect: it serves nothing, and applies nothing more.
      const healthy = replication.replicas.filter(({ assigned }) => assigned.get(SHARD)!.suspect === null);
      expect(healthy.map(({ id }) => id)).toContain(replication.primary);
      expect(healthy.length).toBeGreaterThanOrEqual(2);
      for (const { id } of healthy) expect(replication.content(id)).toBe(model.content('model'));
      expect(replication.ended).toEqual([]);
      await Promise.all([replication.stop(), model.stop()]);
    },
  );
});
