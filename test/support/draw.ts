// Random choices from a seed, for generators whose values are too large to shrink.

/** Numbers in [0, 1): see seeded-random.ts. */
export type Random = () => number;

export const range = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);

/** A whole number from `min` to `max`, both included. */
export const between = (random: Random, min: number, max: number): number =>
  min + Math.floor(random() * (max - min + 1));

export const oneOf = <T>(random: Random, values: readonly T[]): T =>
  values[Math.floor(random() * values.length)]!;
