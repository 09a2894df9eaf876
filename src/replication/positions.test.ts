import { describe, expect, test } from 'vitest';
import { Positions, type AckLevel } from './positions.ts';

async function isReached(
  positions: Positions,
  lsn: number,
  level: AckLevel,
  then: () => void,
): Promise<boolean> {
  let reached = false;
  void positions.reached(lsn, level, new AbortController().signal).then(() => (reached = true));
  then();
  await Promise.resolve();
  await Promise.resolve();
  return reached;
}

function cluster(): Positions {
  const positions = new Positions();
  positions.setCluster(['a', 'b', 'c'], 'a');
  return positions;
}

describe('a write is acknowledged', () => {
  test('at level primary by the primary, not by a replica', async () => {
    const positions = cluster();
    expect(await isReached(positions, 5, 'primary', () => positions.shardApplied('b', 's', [5]))).toBe(false);
    expect(await isReached(cluster(), 5, 'primary', () => undefined)).toBe(false);
    const other = cluster();
    expect(await isReached(other, 5, 'primary', () => other.shardApplied('a', 's', [5]))).toBe(true);
  });

  test('by a new primary that had applied it before it became primary', async () => {
    const positions = cluster();
    const then = (): void => {
      positions.shardApplied('b', 's', [5]);
      positions.setCluster(['a', 'b', 'c'], 'b');
    };
    expect(await isReached(positions, 5, 'primary', then)).toBe(true);
  });

  describe('that nodes passed, the shard being suspect there,', () => {
    /** Whether it is reached when `passing` passed it and `taking` took it, in this order. */
    const isReachedBy = (level: AckLevel, passing: string[], taking: string[]): Promise<boolean> => {
      const positions = cluster();
      return isReached(positions, 5, level, () => {
        for (const node of passing) {
          positions.nodePassed(node, [5]);
          positions.nodeApplied(node, 6);
        }
        for (const node of taking) positions.nodeApplied(node, 6);
        // Who is primary does not change what a node has.
        positions.setCluster(['a', 'b', 'c'], 'a');
      });
    };

    test('when the primary passed it, once another has it', async () => {
      expect(await isReachedBy('primary', ['a', 'b'], [])).toBe(false);
      expect(await isReachedBy('primary', ['a', 'b'], ['c'])).toBe(true);
      expect(await isReachedBy('primary', ['b'], ['c'])).toBe(false);
    });

    test('by as many as the level asks for that have it', async () => {
      expect(await isReachedBy('quorum', ['a'], ['b'])).toBe(false);
      expect(await isReachedBy('quorum', ['a'], ['b', 'c'])).toBe(true);
      expect(await isReachedBy('all', ['a'], ['b', 'c'])).toBe(false);
    });

    test('never when all did', async () => {
      for (const level of ['primary', 'quorum', 'all'] as const)
        expect(await isReachedBy(level, ['a', 'b', 'c'], [])).toBe(false);
    });
  });

  test('at level quorum by two of three, at level all by three', async () => {
    const positions = cluster();
    const two = (): void => {
      positions.nodeApplied('b', 5);
      positions.nodeApplied('c', 7);
    };
    expect(await isReached(positions, 5, 'quorum', two)).toBe(true);
    expect(await isReached(positions, 6, 'all', () => positions.nodeApplied('b', 9))).toBe(false);
    expect(await isReached(positions, 4, 'all', () => positions.nodeApplied('a', 4))).toBe(true);
  });
});

test('several may wait for one entry, and all are told', async () => {
  const positions = cluster();
  const signal = new AbortController().signal;
  const waiters = ['primary', 'primary', 'all'].map((level) =>
    positions.reached(5, level as AckLevel, signal),
  );
  for (const node of ['a', 'b', 'c']) positions.nodeApplied(node, 5);
  await Promise.all(waiters);
  expect(positions.waiting).toBe(0);
});

describe('a position', () => {
  test('is that of the shard while a round is under way, and of the node after it', () => {
    const positions = cluster();
    positions.nodeApplied('a', 3);
    positions.shardApplied('a', 's', [4, 6]);
    expect([positions.appliedTo('a', 's'), positions.appliedTo('a', 't'), positions.applied('a')]).toEqual([
      6, 3, 3,
    ]);
    positions.nodeApplied('a', 6);
    expect(positions.appliedTo('a', 't')).toBe(6);
  });

  test('is forgotten about nobody: an unknown node has applied nothing', () => {
    expect(cluster().applied('x')).toBe(0);
  });
});
