import { expect, test } from 'vitest';
import { bytesText, durationText, millisText, shortText } from './format.ts';

test.each<[number | null, string]>([
  [null, '–'],
  [0, '0'],
  [0.5, '0.5'],
  [1.234, '1.23'],
  [12.34, '12.3'],
  [120, '120'],
  [1_234, '1,234'],
  [12_345, '12.3k'],
  [100_000, '100k'],
  [1_200_000, '1.2M'],
])('%s is short as %s', (value, text) => {
  expect(shortText(value)).toBe(text);
});

test('durations and sizes are in their largest unit', () => {
  expect([millisText(0.42), millisText(12), millisText(2_500)]).toEqual(['0.42 ms', '12 ms', '2.5 s']);
  expect([bytesText(900), bytesText(1_536), bytesText(5 * 2 ** 30)]).toEqual(['900 B', '1.5 KiB', '5 GiB']);
  expect([durationText(12_400), durationText(300_000), durationText(9e6)]).toEqual(['12 s', '5 min', '3 h']);
});
