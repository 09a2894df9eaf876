// Installs the official Python clients once and runs the given command with them: PYTHON_CHROMADB is a Python with the
// full package and the stores built on it, PYTHON_CHROMADB_CLIENT one with the thin client only, PYTHON_CHROMADB_0_4_24 and
// so on those with the client and the server of older releases.

import { spawn } from 'node:child_process';
import { virtualEnvironment } from './virtual-environment.ts';

const VERSION = '1.5.9';
/** The last of the v1 API over requests, the first over httpx, the last of the v1 API, and the last before 1.0. */
const OLDER_VERSIONS = ['0.4.24', '0.5.5', '0.5.15', '0.6.3'];
// Their servers take JSON without a content type, as their clients send it, only with a FastAPI of their time.
const OLDER_DEPENDENCIES = ['numpy<2', 'fastapi==0.115.0'];

try {
  const full = await virtualEnvironment({
    name: `python-chromadb-${VERSION}`,
    packages: [`chromadb==${VERSION}`, 'langchain-chroma==1.1.0', 'llama-index-vector-stores-chroma==0.6.0'],
    proof: 'chromadb, langchain_chroma, llama_index.vector_stores.chroma',
    dependencies: true,
  });
  const thin = await virtualEnvironment({
    name: `python-chromadb-client-${VERSION}`,
    packages: [`chromadb-client==${VERSION}`],
    proof: 'chromadb, numpy',
    dependencies: true,
  });
  const older: Record<string, string> = {};
  for (const version of OLDER_VERSIONS)
    older[`PYTHON_CHROMADB_${version.replaceAll('.', '_')}`] = await virtualEnvironment({
      name: `python-chromadb-${version}`,
      packages: [`chromadb==${version}`, ...OLDER_DEPENDENCIES],
      proof: 'chromadb',
      dependencies: true,
    });
  const [command = 'true', ...args] = process.argv.slice(2);
  const env = { ...process.env, PYTHON_CHROMADB: full, PYTHON_CHROMADB_CLIENT: thin, ...older };
  const child = spawn(command, args, { stdio: 'inherit', env });
  child.once('error', (error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
  child.once('exit', (code) => (process.exitCode = code ?? 1));
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  console.error(`The Python clients cannot be installed here: ${reason}`);
  process.exitCode = 1;
}
