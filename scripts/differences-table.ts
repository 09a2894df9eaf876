// Writes the documented differences into docs/compatibility.md, from test/differential/differences.ts. Run: npm run docs

import { readFileSync, writeFileSync } from 'node:fs';
import {
  RESPONSE_DIFFERENCES,
  DIMENSION_DIFFERENCE,
  SPARED_DIFFERENCES,
} from '../test/differential/differences.ts';

const DOCUMENT = new URL('../docs/compatibility.md', import.meta.url);
const [BEGIN, END] = ['<!-- differences: written by npm run docs -->', '<!-- end of differences -->'];

/** Returns `text` with the table between its marks updated. Throws when a mark is missing. */
export function withDifferences(text: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/compatibility.md lacks "${BEGIN}" or "${END}".`);
  return `${text.slice(0, begin)}${BEGIN}\n\n${table()}\n\n${text.slice(end)}`;
}

function table(): string {
  const rows = [...SPARED_DIFFERENCES, ...RESPONSE_DIFFERENCES, DIMENSION_DIFFERENCE].map(
    ({ name, reason }) => `| ${name} | ${reason.replaceAll('|', '\\|')} |`,
  );
  // The formatter would pad every row to the longest.
  return ['<!-- prettier-ignore -->', '| difference | reason |', '|---|---|', ...rows].join('\n');
}

if (import.meta.main) writeFileSync(DOCUMENT, withDifferences(readFileSync(DOCUMENT, 'utf8')));
