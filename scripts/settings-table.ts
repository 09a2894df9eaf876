// Writes the table of settings into README.md, from src/config.ts. Run: npm run docs

import { readFileSync, writeFileSync } from 'node:fs';
import { SETTINGS } from '../src/config.ts';

const README = new URL('../README.md', import.meta.url);
const [BEGIN, END] = ['<!-- settings: written by npm run docs -->', '<!-- end of settings -->'];

/** `readme` with the table between its marks brought up to date. Throws when a mark is missing. */
export function withSettings(readme: string): string {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`README.md lacks "${BEGIN}" or "${END}".`);
  return `${readme.slice(0, begin)}${BEGIN}\n\n${table()}\n\n${readme.slice(end)}`;
}

function table(): string {
  const rows = Object.entries(SETTINGS).map(([name, { default: fallback, about }]) => {
    const value = fallback === null ? '' : fallback === '' ? 'none' : `\`${fallback}\``;
    return `| \`${name}\` | ${value} | ${about.replaceAll('|', '\\|')} |`;
  });
  // The formatter would widen every row to the longest.
  return ['<!-- prettier-ignore -->', '| setting | default | what it does |', '|---|---|---|', ...rows].join(
    '\n',
  );
}

if (import.meta.main) writeFileSync(README, withSettings(readFileSync(README, 'utf8')));
