import fc from 'fast-check';
import { expect, test } from 'vitest';

test.runIf(process.env['FAST_CHECK_SEED'] === undefined)(
  'a property without a seed of its own draws the same values in each run',
  () => {
    const drawn = (): number[] => {
      const values: number[] = [];
      fc.assert(fc.property(fc.integer(), (value) => void values.push(value)));
      return values;
    };
    expect(drawn()).toEqual(drawn());
    expect(fc.check(fc.property(fc.integer(), () => true)).seed).toBe(1);
  },
);
