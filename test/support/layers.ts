// The layout of ARCHITECTURE.md as rules over source text: imports, sizes, names, and injected time and randomness.

import { posix } from 'node:path';

/** Path from the repository's root, with slashes → text. */
export type Sources = ReadonlyMap<string, string>;

const BASE = ['errors.ts', 'util', 'observability'];
const CHROMA = ['chroma/parse', 'chroma/protocol', 'chroma/client', 'chroma/batch'];
const STORES = ['log', 'catalog', 'coordination'];
const BELOW_REPLICATION = [...BASE, 'postgres', ...STORES, ...CHROMA, 'nodes'];
// What an entry is and what was decided about it. Reads and writes know nothing else of replication, above all not the
// leader: they see the cluster through coordination/cluster-view.ts.
const ENTRIES = ['replication/entry-operation.ts', 'replication/decisions.ts'];
const DATA_PLANE = [...BASE, ...STORES, ...CHROMA, 'nodes', 'http', ...ENTRIES];
const API = [...DATA_PLANE, 'read', 'write', 'auth', 'history', 'alerts'];

/** A layer (a room of src, or a file in it) → the layers and files it may import beside itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'errors.ts': [],
  util: [],
  observability: ['errors.ts', 'util'],
  config: ['errors.ts', 'postgres/database-url.ts'],
  postgres: BASE,
  http: BASE,
  auth: BASE,
  log: [...BASE, 'postgres'],
  catalog: [...BASE, 'postgres'],
  coordination: [...BASE, 'postgres'],
  'chroma/parse': BASE,
  'chroma/protocol': [...BASE, 'chroma/parse'],
  'chroma/client': [...BASE, 'chroma/parse', 'chroma/protocol'],
  'chroma/batch': [...BASE, 'chroma/parse', 'chroma/protocol', 'chroma/client'],
  history: [...BASE, 'postgres'],
  alerts: [...BASE, 'postgres'],
  nodes: [...BASE, 'postgres', ...STORES, ...CHROMA],
  replication: BELOW_REPLICATION,
  repair: [...BELOW_REPLICATION, ...ENTRIES, 'replication/checkpoints.ts'],
  read: DATA_PLANE,
  write: [...DATA_PLANE, 'read'],
  'api/v2': API,
  'api/v1': [...API, 'api/v2'],
  'api/admin': API,
  'api/ui': [...API, 'api/admin'],
  local: BASE,
  app: [...API, 'postgres', 'replication', 'repair', 'api/v1', 'api/v2', 'api/admin', 'api/ui', 'config'],
  cli: [...BASE, 'config', 'app', 'local'],
  'main.ts': [...BASE, 'cli'],
};

const SOURCE_LINES_MAX = 400;
const OTHER_LINES_MAX = 500;

/** Time and randomness that no simulator controls: taken from the clock or injected. */
const UNCONTROLLED =
  /\b(?:Date\.now|new Date\(\)|performance\.now|process\.hrtime|Math\.random|setTimeout|setInterval|systemClock|randomUUID|randomBytes)\b/;

/** Files that may use them, and why. */
const CONTROLS_ITSELF: Readonly<Record<string, string>> = {
  'src/util/clock.ts': 'it is the clock',
  'src/app/deps.ts': 'the real clock and randomness, injected everywhere else',
  'src/cli/command-context.ts': 'the clock of commands, injected into them',
  'src/cli/operation-context.ts': 'the clock and interrupts of commands that wait, injected into them',
  'src/cli/up.ts': 'a composition root: signals and the local cluster',
  'src/cli/serve.ts': 'a composition root: signals',
  'src/local/cluster.ts': 'the root of the local cluster: real processes, no simulator runs them',
  'src/local/postgres.ts': 'real processes; a default for tests that start nothing else',
  'src/local/data-directory.ts': 'the id of a data directory, drawn once in its life',
};

/** Every breach of the rules, one sentence each; test files may import anything. */
export function breaches(sources: Sources): string[] {
  const found: string[] = [];
  for (const [path, text] of sources) {
    const isSource = isOfProduct(path);
    const max = isSource ? SOURCE_LINES_MAX : OTHER_LINES_MAX;
    const lines = text.split('\n').length - 1;
    if (lines > max) found.push(`${path} has ${lines} lines; the limit is ${max}`);
    if (!isSource) continue;
    const code = withoutComments(text);
    found.push(...refusedImports(path, code), ...refusedNames(path, code));
  }
  return [...found, ...importCircles(sources)];
}

/** Exceptions for files that do not exist any more, or that need none. */
export function unneededTimeExceptions(sources: Sources): string[] {
  return Object.keys(CONTROLS_ITSELF).filter(
    (path) => !UNCONTROLLED.test(withoutComments(sources.get(path) ?? '')),
  );
}

const isOfProduct = (path: string): boolean => path.startsWith('src/') && !path.endsWith('.test.ts');

function refusedImports(path: string, code: string): string[] {
  const layer = layerOf(path);
  const allowed = MAY_IMPORT[layer];
  if (allowed === undefined) return [`${path} is in no layer of ARCHITECTURE.md`];
  return targetsOf(path, code)
    .filter((target) => layerOf(target) !== layer)
    .filter((target) => !allowed.includes(layerOf(target)) && !allowed.includes(target.slice('src/'.length)))
    .map((target) => `${path} imports ${target}; ${layer} may not`);
}

function refusedNames(path: string, code: string): string[] {
  const found: string[] = [];
  const uncontrolled = path in CONTROLS_ITSELF ? null : UNCONTROLLED.exec(code);
  if (uncontrolled !== null) found.push(`${path} uses ${uncontrolled[0]}; it must be injected`);
  if (!/^src\/(?:replication|app)\//.test(path) && /\bLeader\b/.test(code))
    found.push(`${path} names Leader; ClusterView is what it may see`);
  if (/\bshards(?:\?\.)?\[0\]/.test(code))
    found.push(`${path} takes the first of several shards; use onlyShard()`);
  return found;
}

/** Circles of imports between files of the product, imports of types included; each circle once. */
function importCircles(sources: Sources): string[] {
  const circles: string[] = [];
  const finished = new Set<string>();
  const visit = (path: string, chain: readonly string[]): void => {
    const start = chain.indexOf(path);
    if (start >= 0) circles.push(`import circle: ${[...chain.slice(start), path].join(' → ')}`);
    if (start >= 0 || finished.has(path)) return;
    for (const target of targetsOf(path, withoutComments(sources.get(path) ?? '')))
      visit(target, [...chain, path]);
    finished.add(path);
  };
  for (const path of sources.keys()) if (isOfProduct(path)) visit(path, []);
  return circles;
}

const DECLARATIONS = [
  /^(?:export\s+)?(?:abstract\s+)?(?:class|interface|type|enum)\s+(\w+)/gm,
  /^export\s+(?:async\s+)?function\*?\s+(\w+)/gm,
];

/** Types, classes and exported functions of one name in different files of the product, one sentence each. */
export function sharedNames(sources: Sources): string[] {
  const declared = [...sources]
    .filter(([path]) => isOfProduct(path))
    .flatMap(([path, text]) => {
      const code = withoutComments(text);
      const names = DECLARATIONS.flatMap((form) => Array.from(code.matchAll(form), ([, name]) => name!));
      return Array.from(new Set(names), (name) => ({ name, path }));
    });
  return Array.from(Map.groupBy(declared, ({ name }) => name))
    .filter(([, those]) => those.length > 1)
    .map(([name, those]) => `${name} is declared in ${those.map(({ path }) => path).join(' and ')}`);
}

/** The files that a source imports, from the root. */
function targetsOf(path: string, code: string): string[] {
  return importsOf(code).map((name) => posix.join(posix.dirname(path), name));
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
