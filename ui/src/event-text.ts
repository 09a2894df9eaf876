// The detail of an event in words.

import { countText } from './format.ts';

type Detail = Readonly<Record<string, unknown>>;

/** Values that are sentences already. */
const SENTENCES = ['reason', 'detail', 'error', 'message'] as const;
/** Said elsewhere in the row, or of no use in it. */
const LEFT_OUT: ReadonlySet<string> = new Set(['gateway', ...SENTENCES]);
const WORDS: Readonly<Record<string, string>> = { from: 'was', lsn: 'LSN', retriedLSN: 'again as LSN' };

/** As in "has applied the log · was catching up". */
export function detailText(detail: Detail): string {
  const said = SENTENCES.map((name) => detail[name]).filter((value) => value !== undefined && value !== null);
  const rest = Object.entries(detail)
    .filter(([name, value]) => !LEFT_OUT.has(name) && value !== null && value !== '')
    .map(([name, value]) => `${WORDS[name] ?? name.replaceAll('_', ' ')} ${valueText(value)}`);
  return [...said.map(String), ...rest].join(' · ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number') return countText(value);
  return typeof value === 'string' ? value.replaceAll('_', ' ') : JSON.stringify(value);
}
