// Each hazard through Polychrome: refused by the HTTP front end, with no change on any node or in the log.
// hazards.bare.test.ts shows each hazard on a bare server.

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

describe('through Polychrome, refuses without any effect', () => {
  test.each(HAZARDS.filter(isWrite))('$name', async (hazard) => {
    const polychrome = await prepared(hazard);
    const before = { head: (await cluster.status()).head, contents: await cluster.contents() };
    const response = await polychrome.request(hazard.hostile);
    // These servers handle it, so Polychrome does too.
    if (hazard.isPrevented === true || (response.status < 300 && !hazard.shownBy(capabilities))) {
      expect(response.status).toBeLessThan(300);
      return expect(await hazard.harmed(polychrome, response)).toBe(false);
    }
    expect([400, 422]).toContain(response.status);
    expect(Object.keys(JSON.parse(response.text) as object)).toEqual(['error', 'message']);
    expect({ head: (await cluster.status()).head, contents: await cluster.contents() }).toEqual(before);
    expect(await hazard.harmed(polychrome, response)).toBe(false);
  });
});

describe('through Polychrome, responds to', () => {
  test.each(HAZARDS.filter((hazard) => !isWrite(hazard)))('$name', async (hazard) => {
    const polychrome = await prepared(hazard);
    const before = await cluster.contents();
    const response = await polychrome.request(hazard.hostile);
    // A read that some servers can process is forwarded to those.
    const refused = hazard.shownBy(capabilities) || hazard.hostile.path.startsWith('/collections/');
    if (refused) expect(response.status).toBeGreaterThanOrEqual(400);
    else expect(response.status).toBe(200);
    expect(await cluster.contents()).toEqual(before);
    expect(await hazard.harmed(polychrome, response)).toBe(false);
    await cluster.allServe();
  });
});

test('every node accepts writes and is identical after all hazards', async () => {
  const id = await cluster.api.create('afterwards');
  const written = await cluster.api.records(id, 'add', { ids: ['a'], embeddings: [[1, 2]] });
  expect(written.status).toBe(201);
  await cluster.allServe();
  expect(new Set((await cluster.contents()).values()).size).toBe(1);
});
