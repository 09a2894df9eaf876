// Checks every command in the guides: that it names what exists. The ones that can run here do so in
// test/system/guides.test.ts and test/clients/python/migration.suite.ts.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { matchOlderRoute } from '../src/api/v1/routes.ts';
import { matchRoute } from '../src/api/v2/routes.ts';
import { eventsCommand } from '../src/cli/events.ts';
import { selftestCommand } from '../src/cli/selftest.ts';
import { upCommand } from '../src/cli/up.ts';
import { SETTINGS } from '../src/config/config.ts';
import { commandsIn, curlCommand, guide, GUIDES } from './support/guides.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const isThere = (path: string): boolean => existsSync(ROOT + path);
const { name, version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Record<string, string>;
const MANIFESTS = globSync('deploy/kubernetes/**/*.yaml', { cwd: ROOT }).map((path) =>
  readFileSync(ROOT + path, 'utf8'),
);
const OPERATOR_PATHS = new Set(['/health', '/status', '/wal/status']);

const CLI: Readonly<Record<string, () => Command>> = {
  up: upCommand,
  events: eventsCommand,
  selftest: selftestCommand,
};

/** Why a command of a guide cannot work, or null. */
function fault(command: string): string | null {
  // Variables of the environment stand before the program.
  const words = command.replace(/^(?:[A-Z_]+=\S* )+/, '').split(' ');
  const [program, ...rest] = words;
  if (program === 'curl') return curlFault(command);
  if (program === 'npx' && rest[0] === 'polychrome') return cliFault(rest.slice(1));
  const checkout = 'npm run -s polychrome -- ';
  if (command.startsWith(checkout)) return cliFault(command.slice(checkout.length).split(' '));
  if (program === 'docker') return dockerFault(rest);
  if (program === 'kubectl') return kubectlFault(rest);
  if (command === `npm install ./${name}-${version}.tgz`) return null;
  return `nothing checks ${command}`;
}

function curlFault(command: string): string | null {
  const curl = curlCommand(command);
  if (curl === null) return `${command} is not of the form that can be checked`;
  const { method, url } = curl;
  if (OPERATOR_PATHS.has(url.pathname)) return method === 'GET' ? null : `${method} ${url.pathname}`;
  const newer = matchRoute(method, url.pathname, { schema: true });
  const serves = typeof newer === 'object' ? newer.route.name !== 'v1' : false;
  return serves || typeof matchOlderRoute(method, url.pathname) === 'object'
    ? null
    : `no route serves ${method} ${url.pathname}`;
}

function cliFault([command = '', ...words]: readonly string[]): string | null {
  const build = CLI[command];
  if (build === undefined) return `polychrome ${command} is not known here`;
  const options = new Set(build().options.map(({ long }) => long));
  const unknown = words.filter((word) => word.startsWith('--') && !options.has(word));
  return unknown.length === 0 ? null : `polychrome ${command} has no ${unknown.join(', ')}`;
}

function dockerFault(words: readonly string[]): string | null {
  const file = words.includes('-f') ? words[words.indexOf('-f') + 1]! : null;
  if (file !== null && !isThere(file)) return `${file} does not exist`;
  const variables = words.flatMap((word, at) => (words[at - 1] === '--env' ? [word.split('=')[0]!] : []));
  const unknown = variables.filter((variable) => !(variable in SETTINGS));
  return unknown.length === 0 ? null : `${unknown.join(', ')} is no setting`;
}

function kubectlFault(words: readonly string[]): string | null {
  const folder = words.includes('-k') ? words[words.indexOf('-k') + 1]! : null;
  if (folder !== null && !isThere(`${folder}/kustomization.yaml`)) return `${folder} is no overlay`;
  const space = words.includes('--namespace') ? words[words.indexOf('--namespace') + 1] : null;
  if (space != null && !MANIFESTS.some((text) => text.includes(`namespace: ${space}`)))
    return `no overlay has the namespace ${space}`;
  const resource = words
    .map((word) => /^(statefulset|deployment)\/(.+)$/.exec(word))
    .find((found) => found !== null);
  if (resource == null) return null;
  const [, kind = '', named] = resource;
  const pattern = new RegExp(`kind: ${kind}\\nmetadata:\\n {2}name: ${named}\\n`, 'i');
  return MANIFESTS.some((text) => pattern.test(text)) ? null : `no manifest has ${resource[0]}`;
}

test.each(GUIDES)('docs/%s.md has commands that name what exists', (each) => {
  expect(commandsIn(guide(each)).flatMap((command) => fault(command) ?? [])).toEqual([]);
});

test('the guides have commands', () => {
  expect(GUIDES.flatMap((each) => commandsIn(guide(each))).length).toBeGreaterThan(25);
});

test.each([
  'curl -s http://127.0.0.1:8000/api/v1/raw_sql',
  'curl -s -X POST http://127.0.0.1:8000/status',
  'curl -s -X POST http://127.0.0.1:8000/api/v2/heartbeat',
  'npx polychrome selftest --uri http://x',
  'npx polychrome backup',
  'docker build -f deploy/docker/Dockerfile.gateway .',
  'docker run --env NODE_LIST=x polychrome',
  'kubectl apply -k deploy/kubernetes/overlays/test',
  'kubectl --namespace other rollout restart deployment/polychrome',
  'kubectl --namespace polychrome-production rollout restart deployment/chroma',
  'npm install polychrome',
  'rm -rf /',
])('the check reports %s', (command) => {
  expect(fault(command)).not.toBeNull();
});
