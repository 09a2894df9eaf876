// Builds and runs the images without a container runtime: `buildah` with chroot isolation, on a stand-in for the base images
// that `debootstrap` makes from Debian packages. Needs root; takes some minutes, and 2 GB under node_modules/.cache.

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findFreePort } from '../src/local/port.ts';
import { startPostgres } from '../src/local/postgres.ts';
import { CACHE, run } from './virtual-environment.ts';

type Check = (name: string, step: () => Promise<unknown>) => Promise<void>;

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DEBIAN = 'http://deb.debian.org/debian';
const RELEASE = 'bookworm';
const NPM = 'npm@11.6.0';
// The certificates that this machine trusts: package registries may be reached through a proxy.
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
const STEP_MS_MAX = 1_800_000;
const READY_MS_MAX = 120_000;
/** Of the layers above the base. */
const OWN_BYTES_MAX = 150 * 1024 * 1024;

const execute = promisify(execFile);
const STORE = join(CACHE, 'containers');
const STORAGE = ['--storage-driver', 'vfs', '--root', join(STORE, 'root'), '--runroot', join(STORE, 'run')];

async function buildah(...words: string[]): Promise<string> {
  const options = { cwd: ROOT, timeout: STEP_MS_MAX, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await execute('buildah', [...STORAGE, ...words], options);
  return stdout.trim();
}

/** Why images cannot be built on this machine; null when they can. */
export async function imagesRefusal(): Promise<string | null> {
  if (process.getuid?.() !== 0) return 'it needs root';
  for (const program of ['buildah', 'debootstrap'])
    if (
      await execute(program, ['--version']).then(
        () => false,
        () => true,
      )
    )
      return `${program} is not installed (apt-get install buildah debootstrap)`;
  return null;
}

/** A minimal Debian with Python, the Node.js of this checkout, and npm. */
async function makeBase(): Promise<string> {
  const folder = join(CACHE, 'base');
  if (existsSync(folder)) return folder;
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  const packages = 'ca-certificates,python3,python3-pip,python-is-python3';
  const words = ['--variant=minbase', `--include=${packages}`, RELEASE, partial, DEBIAN];
  await execute('debootstrap', words, { timeout: STEP_MS_MAX, maxBuffer: 64 * 1024 * 1024 });
  cpSync(join(ROOT, 'node_modules/node/bin/node'), join(partial, 'usr/local/bin/node'));
  const packed = await execute('npm', ['pack', '--silent', NPM, '--pack-destination', tmpdir()]);
  const archive = join(tmpdir(), packed.stdout.trim());
  const npm = join(partial, 'usr/local/lib/node_modules/npm');
  mkdirSync(npm, { recursive: true });
  await run('tar', ['-xzf', archive, '-C', npm, '--strip-components=1']);
  rmSync(archive);
  writeFileSync(
    join(partial, 'usr/local/bin/npm'),
    '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n',
    { mode: 0o755 },
  );
  if (existsSync(CERTIFICATES)) cpSync(CERTIFICATES, join(partial, CERTIFICATES));
  renameSync(partial, folder);
  return folder;
}

/** The images that the Dockerfiles begin from, by the names that they have there. */
function basesOf(dockerfile: string): string[] {
  const text = readFileSync(join(ROOT, dockerfile), 'utf8');
  return [...new Set(Array.from(text.matchAll(/^FROM (\S+)/gm), ([, name]) => name!))];
}

async function commitBase(folder: string, name: string): Promise<void> {
  const container = await buildah('from', 'scratch');
  await buildah('copy', '--quiet', container, folder, '/');
  // As in the images of Node.js: user 1000 exists. Debian refuses pip outside of virtual environments, images of Python do not.
  const env = [
    'PIP_BREAK_SYSTEM_PACKAGES=1',
    `NODE_EXTRA_CA_CERTS=${CERTIFICATES}`,
    `PIP_CERT=${CERTIFICATES}`,
  ];
  if (name.startsWith('node:'))
    await buildah(
      'run',
      '--isolation',
      'chroot',
      container,
      '--',
      'useradd',
      '--uid',
      '1000',
      '--create-home',
      'node',
    );
  await buildah('config', ...env.flatMap((each) => ['--env', each]), container);
  await buildah('commit', '--quiet', '--rm', container, `docker.io/library/${name}`);
}

/** Bytes of all files in an image. */
async function bytesOf(image: string): Promise<number> {
  const container = await buildah('from', '--pull-never', image);
  const folder = await buildah('mount', container);
  const { stdout } = await execute('du', ['-sxb', folder]);
  await buildah('rm', container);
  return Number(stdout.split('\t')[0]);
}

/** A container whose program runs until it is stopped. */
class Running {
  readonly #child: ChildProcess;
  readonly #name: string;
  output = '';

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (text) => (this.output = (this.output + String(text)).slice(-20_000)));
  }

  /** Runs the entry point as the image's user. */
  static async start(
    image: string,
    env: Readonly<Record<string, string>>,
    words: string[],
  ): Promise<Running> {
    const name = await buildah('from', '--pull-never', image);
    const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    const all = [...STORAGE, 'run', '--isolation', 'chroot', ...variables, name, '--', ...words];
    return new Running(spawn('buildah', all, { stdio: ['ignore', 'pipe', 'pipe'] }), name);
  }

  /** Runs the health check of a Dockerfile in it; rejects when it fails. */
  health(dockerfile: string, env: Readonly<Record<string, string>>): Promise<string> {
    const text = readFileSync(join(ROOT, dockerfile), 'utf8').replaceAll('\\\n', '');
    const words = JSON.parse(/^HEALTHCHECK .*? CMD (\[.*\])$/m.exec(text)?.[1] ?? '[]') as string[];
    const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]);
    return buildah('run', '--isolation', 'chroot', ...variables, this.#name, '--', ...words);
  }

  async untilHealthy(dockerfile: string, env: Readonly<Record<string, string>>): Promise<void> {
    const until = Date.now() + READY_MS_MAX;
    for (;;) {
      const failure = await this.health(dockerfile, env).then(
        () => null,
        (error: unknown) => String(error),
      );
      if (failure === null) return;
      if (this.#child.exitCode !== null || Date.now() > until)
        throw new Error(`${dockerfile} does not become healthy: ${failure}\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGTERM');
      await exited;
    }
    await buildah('rm', this.#name).catch(() => undefined);
  }
}

/** Builds both images and runs a cluster of them; `imagesRefusal` must be null. */
export async function checkImages(check: Check): Promise<void> {
  const files = {
    polychrome: 'deploy/docker/Dockerfile',
    'polychrome-node': 'deploy/docker/Dockerfile.node',
  };
  rmSync(STORE, { recursive: true, force: true });
  try {
    const bases = [...new Set(Object.values(files).flatMap(basesOf))];
    await check(`stand-ins for ${bases.join(', ')} from Debian packages`, async () => {
      const folder = await makeBase();
      for (const name of bases) await commitBase(folder, name);
    });
    for (const [image, file] of Object.entries(files))
      await check(`buildah bud ${file}`, () =>
        buildah('bud', '--isolation', 'chroot', '--pull-never', '--file', file, '--tag', image, '.'),
      );
    await check(`the layers of the gateway have at most ${OWN_BYTES_MAX / 1_048_576} MiB`, async () => {
      const own = (await bytesOf('polychrome')) - (await bytesOf(bases[0]!));
      console.log(`        they have ${(own / 1_048_576).toFixed(0)} MiB`);
      if (own > OWN_BYTES_MAX) throw new Error(`${own} bytes`);
    });
    await check('containers of both images pass their health checks and `polychrome selftest`', () =>
      runCluster(files),
    );
  } finally {
    rmSync(STORE, { recursive: true, force: true });
  }
}

async function runCluster(files: Readonly<Record<'polychrome' | 'polychrome-node', string>>): Promise<void> {
  const dir = join(tmpdir(), `polychrome-images-${process.pid}`);
  mkdirSync(dir);
  const running: { stop(): Promise<unknown> }[] = [];
  try {
    const postgres = await startPostgres({ dir: join(dir, 'postgres') });
    running.push(postgres);
    const [port, nodePort] = [String(await findFreePort()), String(await findFreePort())];
    const nodeEnv = { PORT: nodePort, CHROMA_SERVER_HOST: '127.0.0.1', IS_PERSISTENT: 'TRUE' };
    const node = await Running.start('polychrome-node', nodeEnv, ['node-entrypoint']);
    running.push(node);
    await node.untilHealthy(files['polychrome-node'], nodeEnv);
    const env = { PORT: port, DATABASE_URL: postgres.url, NODES: `a=http://127.0.0.1:${nodePort}` };
    const command = ['node', 'bin/polychrome.js'];
    const gateway = await Running.start('polychrome', env, [...command, 'serve']);
    running.push(gateway);
    await gateway.untilHealthy(files.polychrome, env);
    const url = `http://127.0.0.1:${port}`;
    const page = await fetch(`${url}/ui/`);
    if (page.status !== 200) throw new Error(`the dashboard responds ${page.status}`);
    await execute('node', [join(ROOT, 'src/main.ts'), 'selftest', '--url', url], { timeout: READY_MS_MAX });
  } finally {
    for (const each of running.reverse()) await each.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}
