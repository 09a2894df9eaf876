// Each hazard, through Polychrome: refused at the door, with nothing changed on any node nor in the log. That each is
// worth refusing is shown on a bare server in hazards.bare.test.ts.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Capabilities } from '../../src/chroma/protocol/capabilities.ts';
import { probeCapabilities } from '../../src/chroma/client/probe-capabilities.ts';
import { createUnverifiedNodeClient } from '../../src/chroma/client/node-client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { TestCluster } from '../support/cluster.ts';
import { COLLECTIONS, HAZARDS, type Hazard, type HazardSubject } from '../support/hazards.ts';

let cluster: TestCluster;
let capabilities: Capabilities;
beforeAll(async () => {
  cluster = await TestCluster.start();
  const client = createUnverifiedNodeClient({ url: cluster.local.nodes[0]!.url, clock: systemClock });
  capabilities = await probeCapabilities(client);
  await client.destroy();
});
afterAll(() => cluster.stop());

/** Polychrome with a new collection. */
async function subject(): Promise<HazardSubject> {
  const body = JSON.stringify({ name: `hazard-${process.hrtime.bigint()}` });
  const created = await cluster.api.call('POST', `/api/v2${COLLECTIONS}`, body);
  const { id } = JSON.parse(created.text) as { id: string };
  return {
    request: async ({ method, path, body: sent }) =>
      cluster.api.call(method, `/api/v2${path.replace('{id}', id)}`, sent),
  };
}

async function prepared({ setup }: Hazard): Promise<HazardSubject> {
  const polychrome = await subject();
  for (const request of setup) expect((await polychrome.request(request)).status).toBeLessThan(300);
  await cluster.allServe();
  return polychrome;
}

const isWrite = ({ hostile }: Hazard): boolean => /\/(add|upsert|update|delete)$/.test(hostile.path);

describe('through Polychrome, refused with nothing changed:', () => {
  test.each(HAZARDS.filter(isWrite))('$name', async (hazard) => {
    const polychrome = await prepared(hazard);
    const before = { head: (await cluster.status()).head, contents: await cluster.contents() };
    const answer = await polychrome.request(hazard.hostile);
    // What these servers do well is done well through Polychrome.
    if (answer.status < 300 && !hazard.shownBy(capabilities)) {
      return expect(await hazard.harmed(polychrome, answer)).toBe(false);
    }
    expect([400, 422]).toContain(answer.status);
    expect(Object.keys(JSON.parse(answer.text) as object)).toEqual(['error', 'message']);
    expect({ head: (await cluster.status()).head, contents: await cluster.contents() }).toEqual(before);
    expect(await hazard.harmed(polychrome, answer)).toBe(false);
  });
});

describe('through Polychrome, answered:', () => {
  test.each(HAZARDS.filter((hazard) => !isWrite(hazard)))('$name', async (hazard) => {
    const polychrome = await prepared(hazard);
    const before = await cluster.contents();
    const answer = await polychrome.request(hazard.hostile);
    // A read that some servers answer is passed on to those that do.
    const refused = hazard.shownBy(capabilities) || hazard.hostile.path.startsWith('/collections/');
    if (refused) expect(answer.status).toBeGreaterThanOrEqual(400);
    else expect(answer.status).toBe(200);
    expect(await cluster.contents()).toEqual(before);
    expect(await hazard.harmed(polychrome, answer)).toBe(false);
    await cluster.allServe();
  });
});

test('after all of them every node takes writes and holds the same', async () => {
  const id = await cluster.api.create('afterwards');
  const written = await cluster.api.records(id, 'add', { ids: ['a'], embeddings: [[1, 2]] });
  expect(written.status).toBe(201);
  await cluster.allServe();
  expect(new Set((await cluster.contents()).values()).size).toBe(1);
});
