import { expect, test } from 'vitest';
import { doubleTexts, isDoubleText } from './exact-doubles.ts';

test('distinguishes texts of doubles from those of integers and other values', () => {
  expect(['1.0', '1e16', '-2.5E-3'].every(isDoubleText)).toBe(true);
  expect(['1', '-7', '"1.0"', 'null', 'true'].some(isDoubleText)).toBe(false);
});

test('offers a text for each parser that is off by one step', () => {
  const value = 0.1 + 0.2;
  const bits = new BigInt64Array(1);
  const doubles = new Float64Array(bits.buffer);
  for (const step of [-1n, 0n, 1n]) {
    const read = (text: string): number => {
      doubles[0] = Number(text);
      bits[0] = bits[0]! + step;
      return doubles[0];
    };
    expect(doubleTexts(String(value)).some((text) => read(text) === value)).toBe(true);
  }
  expect(doubleTexts('3.0').every(isDoubleText)).toBe(true);
});
