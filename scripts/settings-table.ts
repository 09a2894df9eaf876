// Writes the table of settings into docs/configuration.md, from the configuration schema. Run: npm run docs

import { readFileSync, writeFileSync } from 'node:fs';
import { SETTINGS } from '../src/config/config.ts';

const DOCUMENT = new URL('../docs/configuration.md', import.meta.url);
const [BEGIN, END] = ['<!-- settings: written by npm run docs -->', '<!-- end of settings -->'];

/** Returns `text` with the table between its marks updated. Throws when a mark is missing. */
export function withSettings(text: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/configuration.md lacks "${BEGIN}" or "${END}".`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${table()}\n\n${text.slice(end)}`;
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
