// Holds the files of the platforms against the code: settings, paths and images.

import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { SETTINGS } from '../src/config/config.ts';
import { MONITOR_SETTINGS } from '../src/config/monitor.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string): string => readFileSync(ROOT + path, 'utf8');
const MANIFESTS = ['render.yaml', ...globSync('deploy/{compose,kubernetes}/**/*.yaml', { cwd: ROOT })];

/** Variables of other programs, and those from which render.yaml forms settings. */
const OTHERS = /^(?:POSTGRES_(?:USER|DB|PASSWORD)|GF_\w+|NODE_\d|GATEWAY)$/;

/** Names of environment variables in YAML: keys in capitals, and the names of lists of variables. */
function variablesIn(yaml: string): string[] {
  const names = yaml.matchAll(/^\s+(?:- )?(?:\{ ?)?(?:key: |name: )?([A-Z][A-Z0-9_]{2,})\b(?=[:,]|\s*$)/gm);
  return [...new Set(Array.from(names, ([, name]) => name!))];
}

const unknown = (yaml: string): string[] =>
  variablesIn(yaml).filter((name) => !(name in SETTINGS || name in MONITOR_SETTINGS || OTHERS.test(name)));

test.each(MANIFESTS)('%s names only settings that exist', (path) => {
  expect(unknown(read(path))).toEqual([]);
});

test('the check reports a setting that does not exist', () => {
  expect(unknown('data:\n  NODES: x\n  NODE_LIST: y\n')).toEqual(['NODE_LIST']);
  expect(
    unknown('envVars:\n  - key: DATABASE_URI\n  - { key: PORT, value: 1 }\n  - name: ADMIN_TOKENS\n'),
  ).toEqual(['DATABASE_URI', 'ADMIN_TOKENS']);
});

// What a gateway does not start without, and the token without which operators of other machines are refused.
test.each(['render.yaml', 'deploy/compose/compose.yaml', 'deploy/kubernetes/base/gateway.yaml'])(
  '%s has every setting that production needs',
  (path) => {
    for (const name of ['DATABASE_URL', 'NODES', 'ADMIN_TOKEN', 'SLACK_WEBHOOK_URL'])
      expect(read(path)).toContain(name);
  },
);

test.each(['render.yaml', 'deploy/compose/compose.yaml', 'deploy/kubernetes/base/monitor.yaml'])(
  '%s runs a monitor that watches gateways, nodes and PostgreSQL',
  (path) => {
    expect(read(path)).toMatch(/\[monitor\]|polychrome\.js monitor/);
    for (const name of ['LOAD_BALANCER_URL', 'NODES', 'DATABASE_URL']) expect(read(path)).toContain(name);
  },
);

test('the rules for the Prometheus operator are those for Prometheus', () => {
  const rules = read('deploy/observability/alerts.rules.yml').replace(/^[^]*?(?=^groups:)/m, '');
  const indented = rules.replace(/^(?=.)/gm, '  ');
  expect(read('deploy/kubernetes/components/prometheus/rules.yaml')).toContain(`spec:\n${indented}`);
});

test('each overlay finds the nodes of its own namespace', () => {
  for (const overlay of ['development', 'staging', 'production']) {
    const text = read(`deploy/kubernetes/overlays/${overlay}/kustomization.yaml`);
    const namespace = /^namespace: (\S+)$/m.exec(text)?.[1];
    expect(text).toContain(`dns+srv://_http._tcp.chroma.${namespace}.svc.`);
  }
});

test('files that compose mounts exist', () => {
  const mounted = Array.from(
    read('deploy/compose/compose.yaml').matchAll(/- (\.{1,2}\/\S+?):\//g),
    ([, path]) => join('deploy/compose', path!),
  );
  expect(mounted.length).toBeGreaterThan(4);
  expect(mounted.filter((path) => !existsSync(ROOT + path))).toEqual([]);
});

test('images are built from files that exist', () => {
  const copied = ['Dockerfile', 'Dockerfile.node'].flatMap((file) =>
    Array.from(
      read(`deploy/docker/${file}`).matchAll(/^COPY (?:--chmod=\S+ )?(?!--from)(.+) \S+$/gm),
      ([, from]) => from!.split(' '),
    ).flat(),
  );
  expect(copied.length).toBeGreaterThan(5);
  expect(copied.filter((path) => !existsSync(ROOT + path))).toEqual([]);
  const kept = new Set(read('.dockerignore').split('\n'));
  expect(copied.filter((path) => !kept.has(`!${path}`))).toEqual([]);
  const named = MANIFESTS.flatMap((path) =>
    Array.from(read(path).matchAll(/deploy\/docker\/[\w.]+/g), ([file]) => file),
  );
  expect(named.filter((path) => !existsSync(ROOT + path))).toEqual([]);
});

test('every image runs the Node.js of the tests', () => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> };
  const used = Array.from(
    read('deploy/docker/Dockerfile').matchAll(/^FROM node:([\d.]+)-/gm),
    ([, version]) => version,
  );
  expect(new Set(used)).toEqual(new Set([devDependencies['node']]));
});

describe('the entry point of a node', () => {
  /** The command line of Chroma with these variables, or the message of the refusal. */
  function started(env: Readonly<Record<string, string>>): string {
    const folder = mkdtempSync(join(tmpdir(), 'polychrome-entry-'));
    try {
      writeFileSync(join(folder, 'chroma'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
      const path = [folder, '/bin', '/usr/bin'].join(delimiter);
      return execFileSync('sh', [`${ROOT}deploy/docker/node-entrypoint.sh`], {
        env: { PATH: path, ...env },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      }).trim();
    } catch (error) {
      return (error as { stderr: string }).stderr.trim();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  test.each([
    [{}, 'run --path /data --host 0.0.0.0 --port 8000'],
    [{ PORT: '10000' }, 'run --path /data --host 0.0.0.0 --port 10000'],
    [
      { IS_PERSISTENT: 'TRUE', PERSIST_DIRECTORY: '/chroma/chroma' },
      'run --path /chroma/chroma --host 0.0.0.0 --port 8000',
    ],
    [
      { CHROMA_PERSIST_DIRECTORY: '/x', CHROMA_SERVER_HOST: '::', CHROMA_SERVER_HTTP_PORT: '9' },
      'run --path /x --host :: --port 9',
    ],
    [{ INSTANCE_ROLE: 'replica' }, 'run --path /data --host 0.0.0.0 --port 8000'],
  ])('maps %j', (env, command) => {
    expect(started(env)).toBe(command);
  });

  test('refuses a node that keeps nothing', () => {
    expect(started({ IS_PERSISTENT: 'FALSE' })).toContain('IS_PERSISTENT must be TRUE');
  });
});
