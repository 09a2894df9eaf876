// The unchanged official Python clients, and stores built on them, get the same result or error from Polychrome as from a
// bare server of the same release, step by step.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BareServer, startBareServer } from '../../support/chroma-server.ts';
import { TestCluster } from '../../support/cluster.ts';
import { stepsOf, type PythonSteps } from './steps.ts';

const FULL = process.env['PYTHON_CHROMADB'] ?? '';
const THIN = process.env['PYTHON_CHROMADB_CLIENT'] ?? '';

interface Script extends PythonSteps {
  readonly name: string;
}

const SCRIPTS: readonly Script[] = [
  { name: 'chromadb, base64', python: FULL, words: ['everyday.py', 'base64'] },
  { name: 'chromadb, numbers', python: FULL, words: ['everyday.py', 'numbers'] },
  { name: 'chromadb-client', python: THIN, words: ['everyday.py', 'thin'] },
  { name: 'AsyncHttpClient', python: FULL, words: ['async_client.py'] },
  { name: 'batches', python: FULL, words: ['batches.py'] },
  { name: 'LangChain', python: FULL, words: ['langchain_store.py'] },
  { name: 'LlamaIndex', python: FULL, words: ['llama_index_store.py'] },
];

let cluster: TestCluster;
let bare: BareServer;
beforeAll(async () => {
  [cluster, bare] = await Promise.all([TestCluster.start({ nodes: 2 }), startBareServer()]);
});
afterAll(() => Promise.all([cluster?.stop(), bare?.stop()]));

test.each(SCRIPTS)('$name', async (script) => {
  const [ours, theirs] = await Promise.all([stepsOf(script, cluster.url), stepsOf(script, bare.url)]);
  // A script that fails everywhere or stops early would give equal results too.
  const worked = theirs.filter(({ error }) => error === undefined);
  expect(worked.length).toBeGreaterThanOrEqual(10);
  expect(worked.length).toBeGreaterThan(theirs.length / 2);
  expect(ours).toEqual(theirs);
});
