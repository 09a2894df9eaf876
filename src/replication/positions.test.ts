import { describe, expect, test } from 'vitest';
import { Positions } from './positions.ts';
import { type AckLevel } from '../coordination/cluster-view.ts';

async function isReached(
  positions: Positions,
  lsn: number,
  level: AckLevel,
  then: () => void,
): Promise<boolean> {
  let reached = false;
  const signal = new AbortController().signal;
  void positions.reached({ lsn, shard: 's' }, level, signal).then(() => (reached = true));
  then();
  await Promise.resolve();
  await Promise.resolve();
  return reached;
}

function cluster(suspect: ReadonlySet<string> = new Set()): Positions {
  const positions = new Positions((node, shard) => shard === 's' && suspect.has(node));
  positions.setCluster(['a', 'b', 'c'], 'a');
  return positions;
}

describe('a write is acknowledged', () => {
  test('at level primary when the primary applied it, not a replica', async () => {
    const positions = cluster();
    expect(await isReached(positions, 5, 'primary', () => positions.shardApplied('b', 's', [5]))).toBe(false);
    expect(await isReached(cluster(), 5, 'primary', () => undefined)).toBe(false);
    const other = cluster();
    expect(await isReached(other, 5, 'primary', () => other.shardApplied('a', 's', [5]))).toBe(true);
  });

  test.each<[string, (positions: Positions) => void]>([
    ['began again without content', (positions) => positions.forget('c')],
    ['may have another process', (positions) => positions.restarted('c', 4)],
  ])('not on account of a node that %s before the level was reached', async (_what, lose) => {
    const positions = cluster();
    const isAcknowledged = await isReached(positions, 5, 'all', () => {
      positions.shardApplied('c', 's', [5]);
      lose(positions);
      for (const node of ['a', 'b']) positions.shardApplied(node, 's', [5]);
    });
    expect(isAcknowledged).toBe(false);
  });

  test('at no level by a gateway that does not know the nodes yet', async () => {
    for (const level of ['primary', 'quorum', 'all'] as const) {
      const positions = new Positions(() => false);
      expect(await isReached(positions, 5, level, () => undefined)).toBe(false);
      expect(await isReached(positions, 5, level, () => positions.setCluster([], null))).toBe(false);
    }
  });

  test('when a node that had applied it becomes primary', async () => {
    const positions = cluster();
    const then = (): void => {
      positions.shardApplied('b', 's', [5]);
      positions.setCluster(['a', 'b', 'c'], 'b');
    };
    expect(await isReached(positions, 5, 'primary', then)).toBe(true);
  });

  describe('while the copy of some nodes is suspect', () => {
    /** Whether it is reached when all of these nodes are past it, and these have a suspect copy. */
    const isReachedBy = (level: AckLevel, past: string[], suspect: string[]): Promise<boolean> => {
      const positions = cluster(new Set(suspect));
      return isReached(positions, 5, level, () => {
        for (const node of past) positions.nodeApplied(node, 6);
        // Who is primary does not change what a node has.
        positions.setCluster(['a', 'b', 'c'], 'a');
      });
    };

    test('once another node has it, when the primary is one of them', async () => {
      expect(await isReachedBy('primary', ['a', 'b'], ['a', 'b'])).toBe(false);
      expect(await isReachedBy('primary', ['a', 'b', 'c'], ['a', 'b'])).toBe(true);
      expect(await isReachedBy('primary', ['b', 'c'], ['b'])).toBe(false);
    });

    test('once enough healthy copies have it', async () => {
      expect(await isReachedBy('quorum', ['a', 'b'], ['a'])).toBe(false);
      expect(await isReachedBy('quorum', ['a', 'b', 'c'], ['a'])).toBe(true);
      expect(await isReachedBy('all', ['a', 'b', 'c'], ['a'])).toBe(false);
    });

    test('never when all copies are suspect', async () => {
      for (const level of ['primary', 'quorum', 'all'] as const)
        expect(await isReachedBy(level, ['a', 'b', 'c'], ['a', 'b', 'c'])).toBe(false);
    });

    test('by the same rule when they were past it before the wait began', async () => {
      const positions = cluster(new Set(['a', 'b']));
      for (const node of ['a', 'b']) positions.nodeApplied(node, 6);
      expect(await isReached(positions, 5, 'primary', () => undefined)).toBe(false);
      expect(await isReached(positions, 5, 'primary', () => positions.nodeApplied('c', 6))).toBe(true);
    });

    test('not by copies that became suspect after they applied it', async () => {
      const suspect = new Set<string>();
      const positions = cluster(suspect);
      const then = (): void => {
        positions.nodeApplied('b', 5);
        suspect.add('b');
        positions.nodeApplied('a', 5);
      };
      expect(await isReached(positions, 5, 'quorum', then)).toBe(false);
      expect(await isReached(positions, 5, 'quorum', () => positions.nodeApplied('c', 5))).toBe(true);
    });

    test('by all nodes that are past it when it was discarded', async () => {
      const positions = cluster(new Set(['a', 'b', 'c']));
      const then = (): void => {
        positions.nodeApplied('a', 5);
        positions.discarded(5);
      };
      expect(await isReached(positions, 5, 'primary', then)).toBe(true);
      expect(await isReached(positions, 5, 'all', then)).toBe(false);
    });
  });

  test('not by nodes that skip it', async () => {
    const positions = cluster();
    const then = (): void => {
      positions.nodeSkipped('b', 5);
      for (const node of ['a', 'b', 'c']) positions.nodeApplied(node, 5);
    };
    expect(await isReached(positions, 5, 'all', then)).toBe(false);
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

test('notifies all waiters of one entry', async () => {
  const positions = cluster();
  const signal = new AbortController().signal;
  const waiters = ['primary', 'primary', 'all'].map((level) =>
    positions.reached({ lsn: 5, shard: null }, level as AckLevel, signal),
  );
  for (const node of ['a', 'b', 'c']) positions.nodeApplied(node, 5);
  await Promise.all(waiters);
  expect(positions.waiting).toBe(0);
});

describe('a position', () => {
  test('is that of the shard during a round, and of the node after it', () => {
    const positions = cluster();
    positions.nodeApplied('a', 3);
    positions.shardApplied('a', 's', [4, 6]);
    expect([positions.appliedTo('a', 's'), positions.appliedTo('a', 't'), positions.applied('a')]).toEqual([
      6, 3, 3,
    ]);
    positions.nodeApplied('a', 6);
    expect(positions.appliedTo('a', 't')).toBe(6);
  });

  test('may be ahead by what was sent to the node, until that is applied', () => {
    const positions = cluster();
    positions.nodeApplied('a', 3);
    positions.sending('a', 's', 6);
    positions.sending('a', 's', 5);
    const reflected = (): number[] => ['s', 't'].map((shard) => positions.mayHaveApplied('a', shard));
    expect([reflected(), positions.appliedTo('a', 's')]).toEqual([[6, 3], 3]);
    // The call may have been executed, whatever became of its connection.
    positions.restarted('a', 3);
    expect(reflected()).toEqual([6, 3]);
    positions.nodeApplied('a', 7);
    expect(reflected()).toEqual([7, 7]);
  });

  test('includes what an earlier leader may have sent, of whatever shard', () => {
    const positions = cluster();
    positions.nodeApplied('a', 3);
    positions.mayBeExecuting('a', 5);
    const reflected = (): number[] => ['s', 't'].map((shard) => positions.mayHaveApplied('a', shard));
    expect([reflected(), positions.appliedTo('a', 's')]).toEqual([[5, 5], 3]);
    positions.nodeApplied('a', 7);
    expect(reflected()).toEqual([7, 7]);
  });

  test('of an unknown node is 0', () => {
    expect(cluster().applied('x')).toBe(0);
  });
});
