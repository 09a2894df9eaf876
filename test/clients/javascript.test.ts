// The unchanged official JavaScript clients get the same result or error from Polychrome as from a bare server of the same
// release, step by step.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BareServer, capabilitiesOf, startBareServer } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';
import * as one from './javascript-1.steps.ts';
import * as three from './javascript-3.steps.ts';
import { Side, type ClientStep } from './side.ts';

let cluster: TestCluster;
let bare: BareServer;
beforeAll(async () => {
  [cluster, bare] = await Promise.all([TestCluster.start({ nodes: 2 }), startBareServer()]);
});
afterAll(() => Promise.all([cluster?.stop(), bare?.stop()]));

interface Client<Context> {
  readonly STEPS: readonly ClientStep<Context>[];
  readonly Context: new (url: string) => Context;
}

function behavesAlike<Context>(name: string, { STEPS, Context }: Client<Context>): void {
  describe(name, () => {
    let polychrome: Side<Context>;
    let chroma: Side<Context>;
    beforeAll(() => {
      polychrome = new Side(cluster.url, new Context(cluster.url));
      chroma = new Side(bare.url, new Context(bare.url));
    });

    test.each(STEPS.map((step) => ({ name: step[0], step })))('$name', async ({ step }) => {
      const expected = await chroma.run(step);
      expect(await polychrome.run(step)).toEqual(expected);
    });
  });
}

test('obeys or refuses the limit of a delete', async () => {
  const [polychrome, chroma] = [cluster, bare].map(({ url }) => new Side(url, new three.Context(url)));
  const many = Array.from({ length: 30 }, (_, n) => n);
  const prepare: ClientStep<three.Context> = [
    'prepare',
    async (context) => {
      const embeddings = many.map((n) => [n, 1]);
      const collection = await context.client.createCollection({ name: 'limited', embeddingFunction: null });
      context.keep(collection);
      await collection.add({ ids: many.map(String), embeddings, metadatas: many.map((n) => ({ n })) });
    },
  ];
  for (const side of [polychrome, chroma]) await side!.run(prepare);
  const [ours, theirs] = [
    await polychrome!.run(three.LIMITED_DELETE),
    await chroma!.run(three.LIMITED_DELETE),
  ];
  if ((await capabilitiesOf(bare)).deleteLimit) expect(ours).toEqual(theirs);
  else {
    expect(theirs).toEqual({ result: [{ deleted: 0 }, 0] });
    expect(ours).toMatchObject({
      error: 'ChromaClientError',
      message: expect.stringContaining('limit is not supported'),
    });
  }
});

behavesAlike('chromadb 3.5.0', three);
behavesAlike('chromadb 1.10.5', one);
