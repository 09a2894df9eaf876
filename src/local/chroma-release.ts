// Which Chroma server to run: the newest of the releases installed with us that this machine can load, or the
// command the user names.

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { StartupError } from '../errors.ts';

/** Where one server keeps its data and listens. */
interface ChromaPlace {
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

export interface ChromaRelease {
  /** For people: "Chroma 1.0.5", or the command. */
  readonly name: string;
  commandFor(place: ChromaPlace): { readonly command: string; readonly args: readonly string[] };
}

// Both are optional dependencies; 1.0.5 exists for x64 Linux alone.
/** Newest first. 1.3.4 needs glibc 2.39, 1.0.5 runs from 2.34 (tried on Debian 12). */
const VERSIONS = ['1.3.4', '1.0.5'];

/** A broken library could hang the loader; a good one loads in 0.1 s. */
const LOAD_WAIT_MS = 20_000;

/** Runs a server of the bindings: arguments are module, path, port, host. Chroma's command line never returns, so it gets a process. */
export const RUN_SCRIPT =
  "const [module, path, port, host] = process.argv.slice(1); require(module).cli(['chroma', 'run', '--path', path, '--port', port, '--host', host]);";

let installed: Promise<ChromaRelease> | undefined;

/** The release to run; `template` is a command (see `commandTemplate`). StartupError when there is none. */
export function findChromaRelease(template?: string): Promise<ChromaRelease> {
  if (template !== undefined && template.trim() !== '') return Promise.resolve(commandTemplate(template));
  installed ??= findInstalled();
  return installed;
}

async function findInstalled(): Promise<ChromaRelease> {
  const platform = `${process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const version of VERSIONS) {
    const alias = `chroma-${version}-${platform}`;
    let module: string;
    try {
      module = require.resolve(alias);
    } catch {
      failures.push(`${version} is not installed`);
      continue;
    }
    const failure = await tryLoading(module);
    if (failure === undefined) return installedRelease(version, module);
    failures.push(`${version} does not load (${failure})`);
  }
  throw new StartupError(
    `No Chroma server runs on this machine (${platform}): ${failures.join('; ')}. Run "npm ci" without --omit=optional, or name a server with --chroma "chroma run".`,
  );
}

/** Undefined when a process of its own could load `module`: a wrong library can end the process that tries. */
function tryLoading(module: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const args = ['-e', 'require(process.argv[1])', module];
    execFile(process.execPath, args, { timeout: LOAD_WAIT_MS, env: {} }, (error, _stdout, stderr) => {
      if (error === null) return resolve(undefined);
      const reason = /version `?(GLIBC\w*_[\d.]+)'? not found/.exec(stderr)?.[1];
      resolve(reason === undefined ? lastErrorLine(stderr) : `it needs ${reason}`);
    });
  });
}

function lastErrorLine(stderr: string): string {
  return stderr.split('\n').find((line) => /^\w*Error:/.test(line)) ?? 'the loader failed';
}

function installedRelease(version: string, module: string): ChromaRelease {
  return {
    name: `Chroma ${version}`,
    commandFor: ({ path, host, port }) => ({
      command: process.execPath,
      args: ['-e', RUN_SCRIPT, module, path, String(port), host],
    }),
  };
}

/**
 * A release from a command such as `chroma run --path {path} --port {port} --host {host}`. A command without any
 * placeholder gets these three options appended.
 */
export function commandTemplate(template: string): ChromaRelease {
  const words = splitCommand(template);
  const hasPlaceholder = words.some((word) => /\{(path|port|host)\}/.test(word));
  const complete = hasPlaceholder
    ? words
    : [...words, '--path', '{path}', '--port', '{port}', '--host', '{host}'];
  return {
    name: template,
    commandFor: ({ path, host, port }) => {
      const values: Readonly<Record<string, string>> = { path, host, port: String(port) };
      const filled = complete.map((word) =>
        word.replace(/\{(path|port|host)\}/g, (_whole, name: string) => values[name] ?? ''),
      );
      const [command = '', ...args] = filled;
      return { command, args };
    },
  };
}

/** Splits as a shell would split words and quotes; no shell runs, so that signals reach the server itself. */
export function splitCommand(text: string): string[] {
  const word = /(?:"[^"]*"|'[^']*'|[^\s"'])+/g;
  const words = text.match(word) ?? [];
  if (words.length === 0 || /["']/.test(text.replaceAll(word, ''))) {
    throw new StartupError(`The command given for Chroma is empty or has an unpaired quote: ${text}`);
  }
  return words.map((quoted) => quoted.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}
