// Writes the table of settings into docs/configuration.md, from the configuration schema. Run: npm run docs

import { readFileSync, writeFileSync } from 'node:fs';
import { SETTINGS } from '../src/config/config.ts';
import { MONITOR_SETTINGS } from '../src/config/monitor.ts';
import { SETTINGS_WITHOUT_EFFECT } from '../src/config/older.ts';
import type { Setting } from '../src/config/setting.ts';

const DOCUMENT = new URL('../docs/configuration.md', import.meta.url);
const [BEGIN, END] = ['<!-- settings: written by npm run docs -->', '<!-- end of settings -->'];

const [MONITOR_BEGIN, MONITOR_END] = [
  '<!-- settings of the monitor: written by npm run docs -->',
  '<!-- end of settings of the monitor -->',
];

const [OLDER_BEGIN, OLDER_END] = [
  '<!-- older settings: written by npm run docs -->',
  '<!-- end of older settings -->',
];

/** Returns `text` with the tables between their marks updated. Throws when a mark is missing. */
export function withSettings(text: string): string {
  const settings = replaced(text, [BEGIN, END], table(SETTINGS));
  const monitor = replaced(settings, [MONITOR_BEGIN, MONITOR_END], table(MONITOR_SETTINGS));
  return replaced(monitor, [OLDER_BEGIN, OLDER_END], olderTable());
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

function table(settings: Readonly<Record<string, Setting<unknown>>>): string {
  const rows = Object.entries(settings).map(([name, { default: fallback, about }]) => {
    const value = fallback === null ? '' : fallback === '' ? 'none' : `\`${fallback}\``;
    return `| \`${name}\` | ${value} | ${about.replaceAll('|', '\\|')} |`;
  });
  // The formatter would pad every row to the longest.
  return ['<!-- prettier-ignore -->', '| setting | default | effect |', '|---|---|---|', ...rows].join('\n');
}

if (import.meta.main) writeFileSync(DOCUMENT, withSettings(readFileSync(DOCUMENT, 'utf8')));
