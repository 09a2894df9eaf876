// Installs the newest Chroma server for tests and prints its command for CHROMA_COMMAND, or runs the given command with
// CHROMA_COMMAND set. The npm package needs glibc 2.39; on older systems the script uses the pip package of the same
// server, or else the npm package with the loader of a newer Debian.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { RUN_SCRIPT } from '../src/local/chroma-release.ts';
import { CACHE, run, virtualEnvironment } from './virtual-environment.ts';

// One server with two version numbers: of the pip package and of the bindings for Node.
const PIP_VERSION = '1.5.9';
const NPM_VERSION = '1.3.4';

const DEBIAN_RELEASE = 'trixie';
const LOADERS: Readonly<Record<string, string>> = {
  x64: 'ld-linux-x86-64.so.2',
  arm64: 'ld-linux-aarch64.so.1',
};

const quoted = (word: string): string => `"${word}"`;

/** A way to run the server: resolves to the command template; throws an error that names what is missing. */
type Way = () => Promise<string>;

/** The module of the npm package; throws when it is not installed. */
function bindings(): string {
  return createRequire(import.meta.url).resolve(`chroma-${NPM_VERSION}-${process.platform}-${process.arch}`);
}

function withBindings(module: string, before: readonly string[] = []): string {
  const words = [...before, process.execPath, '-e', RUN_SCRIPT, module];
  return `${words.map(quoted).join(' ')} {path} {port} {host}`;
}

const fromNpm: Way = async () => {
  await run(process.execPath, ['-e', 'require(process.argv[1])', bindings()], {});
  return withBindings(bindings());
};

const fromPip: Way = async () => {
  // The server is one library in the package; the dependencies of the Python client are not needed.
  const python = await virtualEnvironment({
    name: `chromadb-${PIP_VERSION}`,
    packages: [`chromadb==${PIP_VERSION}`],
    proof: 'chromadb_rust_bindings',
    dependencies: false,
  });
  // Equals the command "chroma" of the package, without the imports of its client.
  const script = 'import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv)';
  return `${quoted(python)} -c ${quoted(script)} run --path {path} --port {port} --host {host}`;
};

/** Unpacks Debian's packages of the C and C++ libraries into a separate folder. */
const throughLoader: Way = async () => {
  const module = bindings();
  const loader = LOADERS[process.arch];
  if (loader === undefined) throw new Error(`no loader is known for ${process.arch}`);
  const folder = join(CACHE, `glibc-${DEBIAN_RELEASE}`);
  const files = join(folder, 'usr', 'lib', loader.includes('x86') ? 'x86_64-linux-gnu' : 'aarch64-linux-gnu');
  const before = [join(files, loader), '--library-path', files];
  const works = (): Promise<void> =>
    run(before[0]!, [...before.slice(1), process.execPath, '-e', `require(${JSON.stringify(module)})`]);
  try {
    await works();
  } catch {
    rmSync(folder, { recursive: true, force: true });
    await downloadLibraries(folder);
    await works();
  }
  return withBindings(module, before);
};

// With a separate package list, so that the system stays unchanged.
async function downloadLibraries(folder: string): Promise<void> {
  for (const name of ['lists/partial', 'archives/partial'])
    mkdirSync(join(folder, name), { recursive: true });
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const trust = existsSync(keyring) ? `[signed-by=${keyring}] ` : '';
  writeFileSync(
    join(folder, 'sources.list'),
    `deb ${trust}https://deb.debian.org/debian ${DEBIAN_RELEASE} main\n`,
  );
  const options = [
    `Dir::Etc::sourcelist=${join(folder, 'sources.list')}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${join(folder, 'lists')}`,
    `Dir::Cache=${folder}`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  await run('apt-get', [...options, 'update']);
  const download = 'cd "$1" && shift && exec apt-get "$@" download libc6 libgcc-s1 libstdc++6';
  await run('sh', ['-c', download, 'sh', folder, ...options]);
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['-x', join(folder, file), folder]);
  }
}

async function prepare(): Promise<string> {
  const ways: readonly (readonly [string, Way])[] = [
    [`chromadb-js-bindings ${NPM_VERSION} from npm`, fromNpm],
    [`chromadb ${PIP_VERSION} from pip`, fromPip],
    [`the loader of Debian ${DEBIAN_RELEASE}`, throughLoader],
  ];
  const failures: string[] = [];
  for (const [name, way] of ways) {
    try {
      return await way();
    } catch (error) {
      failures.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(`The newest Chroma server does not run here:\n${failures.join('\n')}`);
}

try {
  const template = await prepare();
  const [command, ...args] = process.argv.slice(2);
  if (command === undefined) console.log(template);
  else {
    const child = spawn(command, args, {
      stdio: 'inherit',
      env: { ...process.env, CHROMA_COMMAND: template },
    });
    child.once('error', (error) => {
      console.error(error.message);
      process.exitCode = 1;
    });
    child.once('exit', (code) => (process.exitCode = code ?? 1));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
