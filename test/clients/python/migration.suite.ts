// Runs the script of docs/migration.md between a server and a cluster.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BareServer, startBareServer } from '../../support/chroma-server.ts';
import { ChromaHttp } from '../../support/chroma-http.ts';
import { TestCluster } from '../../support/cluster.ts';
import { guide } from '../../support/guides.ts';

const RECORDS = 1_203;

let cluster: TestCluster;
let bare: BareServer;
beforeAll(async () => {
  [cluster, bare] = await Promise.all([TestCluster.start({ nodes: 2 }), startBareServer()]);
});
afterAll(() => Promise.all([cluster?.stop(), bare?.stop()]));

test('copies every record, integers and floating-point numbers apart, and can be repeated', async () => {
  const old = new ChromaHttp(bare.url);
  const id = await old.create('library', {
    metadata: { topic: 'books' },
    configuration: { hnsw: { space: 'ip' } },
  });
  const ids = Array.from({ length: RECORDS }, (_, n) => `r${n}`);
  const metadatas = ids.map((_, n) => `{"n":${n},"exact":9007199254740993,"float":1.0}`).join(',');
  const added = await old.records(
    id,
    'add',
    `{"ids":${JSON.stringify(ids)},"embeddings":${JSON.stringify(ids.map((_, n) => [n, 0.1]))},"documents":${JSON.stringify(ids)},"metadatas":[${metadatas}]}`,
  );
  expect(added.status).toBe(201);
  await old.create('empty');
  const script = /^```python\n([^]*?)^```/m.exec(guide('migration'))![1]!;
  const hosts = [bare.url, cluster.url].map((url) => new URL(url).host);
  const env = { ...process.env, ANONYMIZED_TELEMETRY: 'False' };
  for (let run = 0; run < 2; run++) {
    const { stdout } = await promisify(execFile)(
      process.env['PYTHON_CHROMADB'] ?? '',
      ['-c', script, ...hosts],
      { env },
    );
    expect(stdout.trimEnd().split('\n').sort()).toEqual(['empty 0 0', `library ${RECORDS} ${RECORDS}`]);
  }
  const [theirs, ours] = await Promise.all([old.everything(), cluster.api.everything()]);
  expect(ours).toBe(theirs);
});
