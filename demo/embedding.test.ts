import { expect, test } from 'vitest';
import { DIMENSIONS, embed } from './embedding.ts';

function cosine(a: string, b: string): number {
  const [x, y] = [embed(a), embed(b)];
  return x.reduce((sum, value, i) => sum + value * y[i]!, 0);
}

test('an embedding is a unit vector of numbers that are exactly f32', () => {
  for (const text of ['The quick brown fox', 'ü', '😀', '', ' ']) {
    const vector = embed(text);
    expect(vector).toHaveLength(DIMENSIONS);
    expect(vector.every((value) => Math.fround(value) === value)).toBe(true);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
  }
});

test('texts that share words lie closer than texts that do not, whatever their case and blanks', () => {
  const text = 'Replication keeps a full copy on every node';
  expect(cosine(text, 'replication  KEEPS a full\ncopy on every node')).toBeCloseTo(1, 5);
  expect(cosine(text, 'a copy is kept on every node by replication')).toBeGreaterThan(
    cosine(text, 'Bananas ripen quickly in warm weather') + 0.2,
  );
});
