// POST /reset leaves the same state on a bare server that allows it and through Polychrome.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ChromaRelease } from '../../src/local/chroma-release.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { findFreePort } from '../../src/local/port.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ChromaHttp } from '../support/chroma-http.ts';
import { releaseUnderTest, type BareServer } from '../support/chroma-server.ts';
import { TestCluster } from '../support/cluster.ts';

const DEFAULT = '/api/v2/tenants/default_tenant';

// Only a configuration file allows resets.
const RUN_WITH_FILE =
  "const [module, file] = process.argv.slice(1); require(module).cli(['chroma', 'run', file]);";

/** The release under test, started with a configuration file instead of options. */
async function resettable(folder: string): Promise<ChromaRelease> {
  const release = await releaseUnderTest();
  return {
    name: release.name,
    commandFor: (place) => {
      const { command, args } = release.commandFor(place);
      const file = join(folder, 'settings.yaml');
      const options = args.indexOf('--path');
      if (options >= 0) return { command, args: [...args.slice(0, options), file] };
      return { command, args: [...args.slice(0, -5), RUN_WITH_FILE, args.at(-4) as string, file] };
    },
  };
}

async function startResettable(): Promise<BareServer> {
  const folder = await mkdtemp(join(tmpdir(), 'polychrome-bare-'));
  const [path, port] = [join(folder, 'data'), await findFreePort()];
  const settings = { port, listen_address: '127.0.0.1', persist_path: path, allow_reset: true };
  await writeFile(join(folder, 'settings.yaml'), JSON.stringify(settings));
  const child = await startChroma({
    name: 'the bare server',
    release: await resettable(folder),
    path,
    port,
    logFile: join(folder, 'log'),
    clock: systemClock,
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.signal('SIGKILL');
      await child.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

type Step = readonly [method: string, path: string, body?: object];

const SETUP: readonly Step[] = [
  ['POST', '/api/v2/tenants', { name: 't_one' }],
  ['POST', '/api/v2/tenants/t_one/databases', { name: 'one' }],
  ['POST', '/api/v2/tenants/t_one/databases/one/collections', { name: 'in-one' }],
  ['POST', '/api/v2/tenants/t_missing/databases', { name: 'two' }],
  ['POST', `${DEFAULT}/databases`, { name: 'three' }],
  ['POST', `${DEFAULT}/databases/default_database/collections`, { name: 'in-default' }],
];
const LOOK: readonly Step[] = [
  ['GET', '/api/v2/tenants/t_one'],
  ['GET', '/api/v2/tenants/default_tenant'],
  ['GET', '/api/v2/tenants/t_one/databases'],
  ['GET', '/api/v2/tenants/t_missing/databases'],
  ['GET', `${DEFAULT}/databases`],
  ['GET', `${DEFAULT}/databases/default_database`],
  ['GET', `${DEFAULT}/databases/default_database/collections`],
  ['POST', '/api/v2/tenants', { name: 't_one' }],
  ['GET', '/api/v2/tenants/t_one'],
  ['POST', '/api/v2/tenants/t_one/databases', { name: 'one' }],
  ['POST', `${DEFAULT}/databases/default_database/collections`, { name: 'in-default', get_or_create: true }],
];
const CASES: readonly (readonly [name: string, steps: readonly Step[]])[] = [
  ['of everything', SETUP],
  ['after default_database was deleted', [['DELETE', `${DEFAULT}/databases/default_database`]]],
  [
    'after default_database was deleted and created again',
    [
      ['DELETE', `${DEFAULT}/databases/default_database`],
      ['POST', `${DEFAULT}/databases`, { name: 'default_database' }],
    ],
  ],
];

/** Responses in words; ids other than the nil id are random. */
async function responses(http: ChromaHttp, steps: readonly Step[]): Promise<string[]> {
  const found: string[] = [];
  for (const [method, path, body] of steps) {
    const { status, text } = await http.call(method, path, body);
    const shown = path.endsWith('/collections') && method === 'POST' ? '' : text;
    found.push(
      `${method} ${path} ${status} ${shown.replace(/(?!0{8})[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'id')}`,
    );
  }
  return found;
}

test('leaves the same state after a reset as a bare server', { timeout: 120_000 }, async () => {
  const bare = await startResettable();
  let cluster: TestCluster | null = null;
  try {
    cluster = await TestCluster.start({ nodes: 2, settings: { ALLOW_RESET: 'true', LEASE_MS: '5000' } });
    const [ours, theirs] = [cluster.api, new ChromaHttp(bare.url)];
    for (const [name, steps] of CASES) {
      const all: Step[] = [...steps, ['POST', '/api/v2/reset', {}], ...LOOK];
      expect(await responses(ours, all), name).toEqual(await responses(theirs, all));
    }
    await cluster.allServe();
    const contents = await cluster.contents();
    expect(new Set(contents.values()).size).toBe(1);
  } finally {
    await cluster?.stop();
    await bare.stop();
  }
});
