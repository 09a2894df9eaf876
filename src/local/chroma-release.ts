// Chooses the Chroma server to run: the newest installed release that this machine can load, or a given command.

import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { StartupError } from '../errors.ts';

/** The data folder and the address of one server. */
interface ChromaPlace {
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

export interface ChromaRelease {
  /** Display name: "Chroma 1.0.5", or the command. */
  readonly name: string;
  commandFor(place: ChromaPlace): { readonly command: string; readonly args: readonly string[] };
}

/**
 * Newest first. Both are optional dependencies; 1.0.5 exists for x64 Linux only. 1.3.4 requires glibc 2.39, 1.0.5
 * requires 2.34 (tested on Debian 12).
 */
const VERSIONS = ['1.3.4', '1.0.5'];

/** A broken library may hang the loader; a working one loads in 0.1 s. */
const LOAD_WAIT_MS = 20_000;

/** Runs the server of the bindings in a process of its own, because Chroma's command line never returns. */
export const RUN_SCRIPT =
  "const [module, path, port, host] = process.argv.slice(1); require(module).cli(['chroma', 'run', '--path', path, '--port', port, '--host', host]);";

let installed: Promise<ChromaRelease> | null = null;

/** Returns the release to run; `template` is a command (see `commandTemplate`). Throws StartupError when none works. */
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
    if (failure === null) return installedRelease(version, module);
    failures.push(`${version} does not load (${failure})`);
  }
  throw new StartupError(
    `No Chroma server runs on this machine (${platform}): ${failures.join('; ')}. Run "npm ci" without --omit=optional, or pass the command of a server with --chroma "chroma run".`,
  );
}

/** Loads `module` in a separate process, which an incompatible library may crash; returns why it fails, or null. */
function tryLoading(module: string): Promise<string | null> {
  return new Promise((resolve) => {
    const args = ['-e', 'require(process.argv[1])', module];
    execFile(process.execPath, args, { timeout: LOAD_WAIT_MS, env: {} }, (error, _stdout, stderr) => {
      if (error === null) return resolve(null);
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
 * Creates a release from a command such as `chroma run --path {path} --port {port} --host {host}`. These three options
 * are appended to a command without placeholders.
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

/** Splits words and quotes as a shell does. No shell runs, so that signals reach the server process. */
export function splitCommand(text: string): string[] {
  const word = /(?:"[^"]*"|'[^']*'|[^\s"'])+/g;
  const words = text.match(word) ?? [];
  if (words.length === 0 || /["']/.test(text.replaceAll(word, ''))) {
    throw new StartupError(`The Chroma command is empty or has an unpaired quote: ${text}`);
  }
  return words.map((quoted) => quoted.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}
