// Reports words that this repository does not use, in prose and in parts of identifiers. Run: npm run words

import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface BannedWord {
  readonly not: string;
  readonly but: string;
  /** Matches against the words of a text in lower case, separated by single spaces. */
  readonly pattern: RegExp;
}

const ban = (not: string, but: string, pattern: string): BannedWord => ({
  not,
  but,
  pattern: new RegExp(`\\b(?:${pattern})\\b`, 'g'),
});

export const BANNED_WORDS: readonly BannedWord[] = [
  ban('door', 'HTTP front end', 'doors?'),
  ban('solo', 'serial', 'solos?'),
  ban('lean', 'projected', 'lean'),
  ban('twin', 'delayed duplicate', 'twins?'),
  ban('in vain', 'failed attempts', 'vain'),
  ban('under way', 'in flight, in progress', 'under way|underway'),
  ban('doubt', 'suspect', '(?:un)?doubt(?:s|ed|ful)?'),
  ban('sound', 'healthy, valid', '(?:un)?sound(?:s|ly|ness)?'),
  // A lone surrogate is a term of Unicode.
  ban('lone', 'single', 'lone(?! (?:\\w+ )?surrogates?\\b)'),
  ban('whoever', 'a concrete noun', 'whoever|whomever'),
  ban('level (of a node)', 'caught up', '(?:is|are|be|becomes?|became|was|were|being) level|level with'),
  ban('brought along', 'replicates to, applies the log to', '(?:brings?|bringing|brought) along'),
  ban('tail (of the log)', 'log buffer, end', 'tails?'),
  ban('lane', 'queue', 'lanes?'),
  ban('held (shards)', 'assigned', 'held shards?|shards? held'),
  ban('told, tells', 'notified, reports', 'told|tells'),
  ban('unsettled', 'outcome unknown', 'unsettled'),
  ban('mended', 'repaired, fixed', 'mend(?:s|ed|ing)?'),
  ban('came to nothing', 'discarded', '(?:came|comes?) to nothing'),
  ban('who has a write', 'nodes that applied a write', 'who has'),
  ban('the end of the log', 'head', 'end of the log|log s end'),
  ban('gathered', 'batched, collected', 'gather(?:s|ed|ing)?'),
  ban('reads through', 'preloads', 'reads through'),
  ban('kept answers, kept records', 'cached responses, cached records', 'kept (?:answers?|records?)'),
  ban('judge, verdict', 'validate, validation result', '(?:un)?judge(?:s|d|ments?)?|judging|verdicts?'),
  ban('of the first rank', 'top priority', 'first rank'),
  ban('gives account', 'verifies and reports', '(?:gives?|gave|given|giving|keeps?) account'),
  ban('behind our back', 'out of band', 'behind (?:our|its|their|the)(?: \\w+ s)? back'),
  ban('answer (of HTTP)', 'response', 'http answers?|(?:an?|the|its|each|every|no|late|whose) answers?'),
];

interface Exception {
  /** A file, or a folder with a slash at its end. */
  readonly path: string;
  readonly not: string;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    path: 'src/postgres/migrations/',
    not: 'judge, verdict',
    reason: 'a column that a later migration renames: migrations do not change',
  },
  { path: 'test/clients/python/async_client.py', not: 'gathered', reason: 'asyncio.gather' },
  { path: 'src/cli/log.ts', not: 'tail (of the log)', reason: 'polychrome log tail, as in other tools' },
  { path: 'src/cli/log.test.ts', not: 'tail (of the log)', reason: 'polychrome log tail, as in other tools' },
  {
    path: 'test/system/operate.test.ts',
    not: 'tail (of the log)',
    reason: 'polychrome log tail, as in other tools',
  },
  { path: 'docs/operations.md', not: 'tail (of the log)', reason: 'polychrome log tail, as in other tools' },
  { path: 'CHANGELOG.md', not: 'tail (of the log)', reason: 'polychrome log tail, as in other tools' },
];

const SELF = new Set(['scripts/banned-words.ts', 'scripts/banned-words.test.ts']);
const FILES = [
  '*.{md,ts,json}',
  '.ci/*',
  '{src,test,bench,demo,scripts}/**/*.{ts,mjs,py}',
  'ui/*.ts',
  'ui/src/**/*.{ts,tsx}',
  'docs/**/*.md',
];

export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly word: string;
  readonly banned: BannedWord;
}

interface Words {
  readonly text: string;
  /** For each word: where it begins in `text`, and its line. */
  readonly places: readonly { readonly at: number; readonly line: number }[];
}

/** Splits identifiers at their humps; ends of sentences and strings separate words, ends of lines do not. */
function wordsOf(source: string): Words {
  const places: { at: number; line: number }[] = [];
  let text = '';
  let line = 1;
  let last = 0;
  for (const { 0: word, index } of source.matchAll(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g)) {
    const gap = source.slice(last, index);
    line += gap.split('\n').length - 1;
    text += /^[\s/*#_'’-]*$/.test(gap) ? ' ' : ' . ';
    places.push({ at: text.length, line });
    text += word.toLowerCase();
    last = index + word.length;
  }
  return { text, places };
}

const covers = (exception: Exception, path: string): boolean =>
  exception.path.endsWith('/') ? path.startsWith(exception.path) : path === exception.path;

const excuses = (exception: Exception, path: string, not: string): boolean =>
  covers(exception, path) && exception.not === not;

/** Every banned word in the text of a file and in its path, without the exceptions. */
export function bannedWordsIn(
  path: string,
  source: string,
  exceptions: readonly Exception[] = EXCEPTIONS,
): Finding[] {
  const { text, places } = wordsOf(`${path}\n${source}`);
  const applicable = BANNED_WORDS.filter(({ not }) => !exceptions.some((each) => excuses(each, path, not)));
  return applicable.flatMap((word) =>
    Array.from(text.matchAll(word.pattern), (match) => {
      const place = places.findLast(({ at }) => at <= match.index);
      // The path stands before the first line.
      return { path, line: (place?.line ?? 1) - 1, word: match[0], banned: word };
    }),
  );
}

/** All findings in the repository at `root`. */
export function bannedWordsOf(root: string): Finding[] {
  return findingsIn(root, filesOf(root), EXCEPTIONS);
}

function filesOf(root: string): string[] {
  return globSync(FILES, { cwd: root })
    .filter((path) => !SELF.has(path) && path !== 'package-lock.json')
    .sort();
}

function findingsIn(root: string, paths: readonly string[], exceptions: readonly Exception[]): Finding[] {
  return paths.flatMap((path) => bannedWordsIn(path, readFileSync(`${root}/${path}`, 'utf8'), exceptions));
}

/** Exceptions whose word is not found where they allow it. */
export function unneededExceptions(root: string, exceptions: readonly Exception[]): Exception[] {
  const covered = filesOf(root).filter((path) => exceptions.some((exception) => covers(exception, path)));
  const all = findingsIn(root, covered, []);
  return exceptions.filter(
    (exception) => !all.some(({ path, banned: { not } }) => excuses(exception, path, not)),
  );
}

/** Findings per folder, the most first. */
function countsOf(findings: readonly Finding[]): string[] {
  const byFolder = Object.groupBy(findings, ({ path }) => path.split('/').slice(0, -1).join('/') || '.');
  return Object.entries(byFolder)
    .map(([folder, those]) => [those?.length ?? 0, folder] as const)
    .sort(([a], [b]) => b - a)
    .map(([count, folder]) => `${String(count).padStart(5)}  ${folder}`);
}

if (import.meta.main) {
  const all = bannedWordsOf(fileURLToPath(new URL('..', import.meta.url)));
  for (const { path, line, word, banned } of all)
    console.log(`${path}:${line}: "${word}"; instead: ${banned.but}`);
  if (all.length > 0) {
    console.log(`\n${countsOf(all).join('\n')}\n${all.length} banned words`);
    process.exitCode = 1;
  }
}
