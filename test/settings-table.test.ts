import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withSettings } from '../scripts/settings-table.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test('the settings in README.md are those of the code (if not: npm run docs)', () => {
  expect(withSettings(readme)).toBe(readme);
});

test('a table that was changed by hand is noticed', () => {
  const changed = readme.replace('`PORT` | `8000`', '`PORT` | `8080`');
  expect(changed).not.toBe(readme);
  expect(withSettings(changed)).toBe(readme);
  expect(() => withSettings('no marks')).toThrow('README.md lacks');
});
