import { expect, test } from 'vitest';
import { parseExact } from './exact-json.ts';

test.each(['{"a":9007199254740993,"b":[1,-9223372036854775808],"c":0.5}', 'null'])(
  '%s is shown as it came',
  (text) => {
    expect(JSON.stringify(parseExact(text))).toBe(text);
  },
);
