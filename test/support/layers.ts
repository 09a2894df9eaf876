// The layout of ARCHITECTURE.md as rules over source text: who may import whom, how long a file may be, and who may
// touch the machine's own time and chance.

import { posix } from 'node:path';

/** Path from the repository's root, with slashes → text. */
export type Sources = ReadonlyMap<string, string>;

const BELOW_ALL = ['errors.ts', 'util'];
const CHROMA = ['chroma/parse', 'chroma/protocol', 'chroma/client', 'chroma/batch'];
const STORES = ['log', 'catalog', 'coordination'];
const BELOW_REPLICATION = [...BELOW_ALL, 'postgres', ...STORES, ...CHROMA, 'nodes'];
const DATA_PLANE = [...BELOW_ALL, ...STORES, ...CHROMA, 'nodes', 'replication', 'http'];

/** A layer (a room of src, or a file in it) → what it may import beside itself. Anything not named here is refused. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  util: [],
  config: ['errors.ts'],
  postgres: BELOW_ALL,
  log: [...BELOW_ALL, 'postgres'],
  catalog: [...BELOW_ALL, 'postgres'],
  coordination: [...BELOW_ALL, 'postgres'],
  'chroma/parse': BELOW_ALL,
  'chroma/protocol': [...BELOW_ALL, 'chroma/parse', 'chroma/client'],
  'chroma/client': [...BELOW_ALL, 'chroma/parse', 'chroma/protocol'],
  'chroma/batch': [...BELOW_ALL, 'chroma/parse'],
  nodes: [...BELOW_ALL, 'postgres', ...STORES, ...CHROMA],
  replication: BELOW_REPLICATION,
  repair: [...BELOW_REPLICATION, 'replication'],
  http: [...BELOW_ALL, 'chroma/parse', 'chroma/protocol', 'api/v2'],
  read: DATA_PLANE,
  write: [...DATA_PLANE, 'read'],
  'api/v2': [...DATA_PLANE, 'read', 'write'],
  'api/admin': [...DATA_PLANE, 'read', 'write', 'repair'],
  local: BELOW_ALL,
  app: [...DATA_PLANE, 'postgres', 'repair', 'read', 'write', 'api/v2', 'api/admin', 'config'],
  cli: [...BELOW_ALL, 'config', 'app', 'local'],
  'main.ts': [...BELOW_ALL, 'cli'],
};

const LINES_MAX = 500;

/** Time and chance that no simulator drives: taken from the clock or handed in. */
const UNDRIVEN =
  /\b(?:Date\.now|new Date\(\)|performance\.now|process\.hrtime|Math\.random|setTimeout|setInterval|systemClock|randomUUID|randomBytes)\b/;

/** Files that may, and why. */
const DRIVES_ITSELF: Readonly<Record<string, string>> = {
  'src/util/clock.ts': 'it is the clock',
  'src/app/gateway.ts': 'the composition root: hands the real ones to everything else',
  'src/cli/up.ts': 'a composition root: signals and the local cluster',
  'src/cli/serve.ts': 'a composition root: signals',
  'src/local/cluster.ts': 'the root of the local cluster: real processes, no simulator runs them',
  'src/local/postgres.ts': 'real processes; a default for tests that start nothing else',
  'src/local/data-directory.ts': 'the id of a data directory, drawn once in its life',
};

/** Every breach of the rules, one sentence each; test files may import what they like. */
export function breaches(sources: Sources): string[] {
  const found: string[] = [];
  for (const [path, text] of sources) {
    const lines = text.split('\n').length - 1;
    if (lines > LINES_MAX) found.push(`${path} has ${lines} lines; ${LINES_MAX} are the most`);
    if (!path.startsWith('src/') || path.endsWith('.test.ts')) continue;
    found.push(...refusedImports(path, text));
    const undriven = path in DRIVES_ITSELF ? null : UNDRIVEN.exec(withoutComments(text));
    if (undriven !== null) found.push(`${path} uses ${undriven[0]}; it must be handed in`);
  }
  return found;
}

/** Files that are excused and exist no more, or need no excuse. */
export function idleExcuses(sources: Sources): string[] {
  return Object.keys(DRIVES_ITSELF).filter(
    (path) => !UNDRIVEN.test(withoutComments(sources.get(path) ?? '')),
  );
}

function refusedImports(path: string, text: string): string[] {
  const layer = layerOf(path);
  const allowed = MAY_IMPORT[layer];
  if (allowed === undefined) return [`${path} is in no layer of ARCHITECTURE.md`];
  return importsOf(text)
    .map((name) => posix.join(posix.dirname(path), name))
    .filter((target) => layerOf(target) !== layer && !allowed.includes(layerOf(target)))
    .map((target) => `${path} imports ${target}; ${layer} may not import ${layerOf(target)}`);
}

/** Relative modules a source names: imports of values and of types, re-exports, dynamic imports, workers' URLs. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const forms = [
    /\bfrom\s*'(\.[^']*)'/g,
    /\bimport\s*'(\.[^']*)'/g,
    /\bimport\(\s*'(\.[^']*)'\s*\)/g,
    /\bnew URL\(\s*'(\.[^']*\.ts)'/g,
  ];
  return forms.flatMap((form) => Array.from(code.matchAll(form), (match) => match[1] as string));
}

function layerOf(path: string): string {
  const [, layer = '', room = ''] = path.split('/');
  return layer === 'chroma' || layer === 'api' ? `${layer}/${room}` : layer;
}

// Comments begin a line here (the formatter sees to it), or follow code after a space.
function withoutComments(text: string): string {
  return text.replace(/\/\*[^]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}
