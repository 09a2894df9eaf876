// Histories of faults under a seed: whatever befalls the calls, every node ends with what the log says.

import { describe, expect, test } from 'vitest';
import { MemoryReplication, SETTLE_MS } from '../support/memory-replication.ts';
import { seededRandom } from '../support/seeded-random.ts';

const write = (id: string, value: number): string =>
  `{"ids":["${id}"],"embeddings":[[${value}]],"documents":["${value}"]}`;

describe('whatever befalls the calls', () => {
  const ENTRIES = 60;

  test.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'seed %i: every node ends with what the log says',
    async (seed) => {
      const random = seededRandom(seed);
      const replication = new MemoryReplication({ nodes: ['a', 'b', 'c'], random: seededRandom(7) });
      replication.create();
      for (const replica of replication.replicas) replica.follow();
      await replication.level();
      const model = new MemoryReplication({ nodes: ['model'], random: seededRandom(seed) });
      model.create();
      model.replica('model').follow();
      for (const { fake } of replication.replicas) {
        fake.choose = ({ mutates }) => {
          if (random() > 0.3) return null;
          if (!mutates) return 'drop_before';
          const faults = ['drop_before', 'drop_after', 'late', { slowMs: 700 * random() }] as const;
          return faults[Math.floor(random() * faults.length)]!;
        };
      }
      for (let n = 0; n < ENTRIES; n++) {
        const id = `r${Math.floor(random() * 5)}`;
        const kind = (['add', 'upsert', 'update', 'delete'] as const)[Math.floor(random() * 4)]!;
        const doomed = random() < 0.5 ? `{"ids":["${id}"]}` : `{"where_document":{"$contains":"${n % 10}"}}`;
        for (const each of [replication, model]) each.write(kind, kind === 'delete' ? doomed : write(id, n));
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
      expect(replication.replicas.flatMap(({ troubles }) => troubles)).not.toEqual([]);
      await replication.level();
      await model.level();
      for (const id of ['a', 'b', 'c']) expect(replication.content(id)).toBe(model.content('model'));
      await Promise.all([replication.stop(), model.stop()]);
    },
  );
});
