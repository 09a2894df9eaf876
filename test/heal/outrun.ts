// Writes touch the records of a collection faster than a copy of it is made: appends are slowed until it is complete (R31).

import { TestCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import { differences, fill, type HealDrill, put, replicaOf, withCluster } from './drill.ts';

const RECORDS = 3_000;
const WRITERS = 8;
const BATCH = 20;
const LIMIT_MS = 300_000;

export const outrunCopy: HealDrill = {
  name: 'outrun-copy',
  about: 'writes touch records faster than a copy is made; appends are slowed, and the copy is completed',
  run: ({ log }) =>
    withCluster(
      TestCluster.start({ settings: { SCRUB_INTERVAL: '0', REBUILD_BYTES_PER_SECOND: '40000' } }),
      async (cluster) => {
        const id = await fill(cluster, 'busy', RECORDS);
        await cluster.allServe();
        let written = 0;
        let isOver = false;
        const writers = Array.from({ length: WRITERS }, async (_, writer) => {
          for (let turn = 0; !isOver; turn++) {
            const from = ((writer * RECORDS) / WRITERS + turn * BATCH) % (RECORDS - BATCH);
            await put(cluster, id, { from, count: BATCH, text: `writer ${writer} turn ${turn}` });
            written += BATCH;
          }
        });
        const rateSince = (records: number, fromMs: number): number =>
          Math.round(((written - records) * 1_000) / (performance.now() - fromMs));
        try {
          const startedMs = performance.now();
          await until(async () => written >= RECORDS, 'every record was written once more', LIMIT_MS);
          log(`${rateSince(0, startedMs)} records/s before`);
          const [before, copyMs] = [written, performance.now()];
          const node = await replicaOf(cluster);
          const begun = await cluster.api.call('POST', `/admin/nodes/${node}/rebuild?collection=${id}`);
          const operation = JSON.parse(begun.text) as { id: string };
          let shown = { state: '', error: null as string | null };
          await until(
            async () => {
              const { text } = await cluster.api.call('GET', `/admin/operations/${operation.id}`);
              shown = JSON.parse(text) as typeof shown;
              return shown.state !== 'running';
            },
            'the copy is complete',
            LIMIT_MS,
          );
          const seconds = Math.round((performance.now() - copyMs) / 1_000);
          log(`${rateSince(before, copyMs)} records/s for ${seconds} s, until the copy was complete`);
          if (shown.state !== 'done') return [`the rebuild failed: ${shown.error}`];
        } finally {
          isOver = true;
          await Promise.all(writers);
        }
        return differences(cluster);
      },
    ),
};
