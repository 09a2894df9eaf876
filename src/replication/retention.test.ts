import { describe, expect, test } from 'vitest';
import { trimTarget, type Claim } from './retention.ts';

const HOUR = 3_600_000;
const limits = { retentionMs: 72 * HOUR, bytesMax: 1_000 };

/** Partitions of 100 entries and 100 bytes, the last still open; ages in hours, oldest first. */
const partitions = (...ages: number[]) => [
  ...ages.map((age, index) => ({ last: (index + 1) * 100, bytes: 100, ageMs: age * HOUR })),
  { last: (ages.length + 1) * 100, bytes: 100, ageMs: null },
];
const follows = (after: number): Claim => ({ after, following: true });
const away = (after: number): Claim => ({ after, following: false });

describe('the log is trimmed', () => {
  test.each([
    ['where it is older than the retention', partitions(100, 80, 60), [follows(330)], 200],
    ['not where it is younger', partitions(71, 60), [follows(230)], null],
    [
      'not where a following node has still to apply it',
      partitions(100, 90, 80),
      [follows(330), follows(199)],
      100,
    ],
    ['not within what a following node has begun', partitions(100), [follows(99)], null],
    ['past what a node that is away has applied', partitions(100, 80, 60), [follows(330), away(0)], 200],
    ['not while no node follows', partitions(100, 80), [away(250), away(250)], null],
    ['not in the partition still being filled', partitions(), [follows(100)], null],
    [
      'from the oldest on where it is beyond the bytes',
      partitions(...Array<number>(14).fill(1)),
      [follows(1_450)],
      500,
    ],
    [
      'by bytes no further than every following node is',
      partitions(...Array<number>(14).fill(1)),
      [follows(250)],
      200,
    ],
  ])('%s', (_rule, parts, claims, target) => {
    expect(trimTarget(parts, claims, limits)).toBe(target);
  });
});
