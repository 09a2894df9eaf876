// R17: a gateway that cannot reach PostgreSQL learns from the marker of a node that it does not know the present copies.

import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { createNodeProbe, type Announced } from './probe.ts';

const IDENTITY = { cluster: 'c', node: 'n', incarnation: 'i' };
const PROGRESS = { log: 'l', checkpoint: 7, token: 't' };

async function probed(view: number, isNewer: (announced: Announced) => boolean): Promise<string> {
  const metadata = { ...IDENTITY, ...PROGRESS, view };
  const body = Buffer.from(JSON.stringify({ id: 'marker', metadata }));
  const watcher = { read: async () => ({ status: 200, body }) } as unknown as NodeClient;
  const probe = createNodeProbe({
    watcher,
    canary: { run: () => Promise.reject(new Error('not run')) },
    verify: () => Promise.resolve(null),
    work: { explainsSilence: false },
    isNewer,
    clock: new ManualClock(),
  });
  return (await probe.probe()).found;
}

test('a node whose marker is of a view that is not known is not used', async () => {
  expect(await probed(5, ({ view }) => view > 4)).toBe('newer');
});

test('a node whose marker is of a known view is itself', async () => {
  expect(await probed(4, ({ view }) => view > 4)).toBe('itself');
});
