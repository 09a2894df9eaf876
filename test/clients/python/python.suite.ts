// The unchanged official Python clients, and stores built on them, get the same result or error from Polychrome as from a
// bare server of the same release, step by step.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type BareServer, startBareServer } from '../../support/chroma-server.ts';
import { TestCluster } from '../../support/cluster.ts';
import { plainText } from '../side.ts';

const FULL = process.env['PYTHON_CHROMADB'] ?? '';
const THIN = process.env['PYTHON_CHROMADB_CLIENT'] ?? '';

interface Script {
  readonly name: string;
  readonly python: string;
  /** The script and its arguments after the address. */
  readonly words: readonly [script: string, ...args: string[]];
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

const outcome = z.looseObject({
  step: z.string(),
  result: z.unknown().optional(),
  error: z.string().optional(),
});

type Outcome = z.infer<typeof outcome>;

const execute = promisify(execFile);

async function outcomes({ python, words: [script, ...args] }: Script, url: string): Promise<Outcome[]> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ANONYMIZED_TELEMETRY: 'False' };
  const { stdout } = await execute(python, [path, url, ...args], { env, maxBuffer: 64 * 1024 * 1024 });
  const lines = plainText(stdout, url, new Map()).trimEnd().split('\n');
  return lines.map((line) => outcome.parse(JSON.parse(line)));
}

test.each(SCRIPTS)('$name', async (script) => {
  const [ours, theirs] = await Promise.all([outcomes(script, cluster.url), outcomes(script, bare.url)]);
  // A script that fails everywhere or stops early would give equal results too.
  const worked = theirs.filter(({ error }) => error === undefined);
  expect(worked.length).toBeGreaterThanOrEqual(10);
  expect(worked.length).toBeGreaterThan(theirs.length / 2);
  expect(ours).toEqual(theirs);
});
