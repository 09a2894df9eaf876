// Writes the table of settings into docs/configuration.md, from the configuration schema. Run: npm run docs

import { readFileSync, writeFileSync } from 'node:fs';
import { SETTINGS } from '../src/config/config.ts';
import { SETTINGS_WITHOUT_EFFECT } from '../src/config/older.ts';

const DOCUMENT = new URL('../docs/configuration.md', import.meta.url);
const [BEGIN, END] = ['<!-- settings: written by npm run docs -->', '<!-- end of settings -->'];

const [OLDER_BEGIN, OLDER_END] = [
  '<!-- older settings: written by npm run docs -->',
  '<!-- end of older settings -->',
];

/** Returns `text` with the tables between their marks updated. Throws when a mark is missing. */
export function withSettings(text: string): string {
  return replaced(replaced(text, [BEGIN, END], table()), [OLDER_BEGIN, OLDER_END], olderTable());
}

function replaced(text: string, [first, last]: readonly [string, string], content: string): string {
  const [begin, end] = [text.indexOf(first), text.indexOf(last)];
  if (begin < 0 || end < begin) throw new Error(`docs/configuration.md lacks "${first}" or "${last}".`);
  return `${text.slice(0, begin)}${first}\n\n${content}\n\n${text.slice(end)}`;
}

function olderTable(): string {
  const rows = Object.entries(SETTINGS_WITHOUT_EFFECT).map(([name, why]) => `| \`${name}\` | ${why} |`);
  return ['<!-- prettier-ignore -->', '| setting | here |', '|---|---|', ...rows].join('\n');
}

function table(): string {
  const rows = Object.entries(SETTINGS).map(([name, { default: fallback, about }]) => {
    const value = fallback === null ? '' : fallback === '' ? 'none' : `\`${fallback}\``;
    return `| \`${name}\` | ${value} | ${about.replaceAll('|', '\\|')} |`;
  });
  // The formatter would pad every row to the longest.
  return ['<!-- prettier-ignore -->', '| setting | default | effect |', '|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) writeFileSync(DOCUMENT, withSettings(readFileSync(DOCUMENT, 'utf8')));
