// Runs the requests of docs/quick-start.md against a cluster, in their order.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from '../support/cluster.ts';
import { commandsIn, curlCommand, guide } from '../support/guides.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 2 });
});
afterAll(() => cluster?.stop());

test('every request of the quick start succeeds, and the last shows what is left', async () => {
  const curls = commandsIn(guide('quick-start')).flatMap((command) => curlCommand(command) ?? []);
  expect(curls.length).toBeGreaterThan(8);
  let last = '';
  for (const { method, url, headers, body } of curls) {
    const target = cluster.url + url.pathname + url.search;
    const response = await fetch(target, { method, headers, ...(body === null ? {} : { body }) });
    last = await response.text();
    expect({ target, ok: response.ok, text: response.ok ? '' : last }).toEqual({
      target,
      ok: true,
      text: '',
    });
  }
  expect(JSON.parse(last)).toMatchObject({ ids: ['doc_0', 'doc_2'], documents: ['a', 'c'] });
});
