import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { TermOver, type Term } from '../coordination/term.ts';
import type { AssignedShard, ShardChange } from './checkpoints.ts';
import { DurableCheckpoint, takeOver } from './durable-checkpoint.ts';

const copyOf = (physical: string, name: string, { fromLSN = 1, copy = 0 } = {}): AssignedShard => ({
  physical,
  tenant: 't',
  database: 'd',
  name,
  fromLSN,
  copy,
  suspect: null,
});

let clock: ManualClock;
let recorded: Map<string, AssignedShard>;
let saves: { lsn: number; changes: readonly ShardChange[] }[];
let suspicions: string[];
let isAway: boolean;
let isHeld: boolean;
let checkpoint: DurableCheckpoint;
let term: Term;

beforeEach(() => {
  [clock, recorded, saves, isAway, isHeld] = [new ManualClock(), new Map(), [], false, true];
  suspicions = [];
  term = { epoch: 1, clean: true, signal: new AbortController().signal, held: () => isHeld };
  checkpoint = new DurableCheckpoint({
    node: 'a',
    resets: 2,
    checkpoints: {
      assigned: async () => recorded,
      save: async (epoch, node, lsn, changes) => {
        expect([epoch, node]).toEqual([1, { id: 'a', resets: 2 }]);
        if (isAway) throw new Error('PostgreSQL is away');
        saves.push({ lsn, changes });
      },
      suspect: async (_epoch, node, shard, reason) => {
        suspicions.push(`${node} ${shard} ${reason}`);
        return 'physical';
      },
    },
    clock,
    onTrouble: () => undefined,
  });
});

test('a checkpoint is tried again until PostgreSQL responds', async () => {
  isAway = true;
  let isSaved = false;
  void checkpoint.save(5, [], term).then(() => (isSaved = true));
  await clock.pass(1_000);
  expect([saves, isSaved]).toEqual([[], false]);
  isAway = false;
  await clock.pass(1_000);
  expect([saves, isSaved]).toEqual([[{ lsn: 5, changes: [] }], true]);
});

test('a checkpoint is given up when the term is over', async () => {
  isAway = true;
  const saved = checkpoint.save(5, [], term).catch((error: unknown) => error);
  await clock.pass(1_000);
  isHeld = false;
  await clock.pass(1_000);
  expect(await saved).toBeInstanceOf(TermOver);
});

test('a checkpoint that is certain is not recorded again', async () => {
  await checkpoint.saveAgain(5, new Map(), term);
  checkpoint.becomesUncertain();
  checkpoint.isRead();
  await checkpoint.saveAgain(5, new Map(), term);
  expect(saves).toEqual([]);
});

test('an uncertain checkpoint is recorded once more, with the shards and suspicions that PostgreSQL lacks', async () => {
  recorded = new Map([
    ['kept', copyOf('p1', 'kept')],
    ['renamed', copyOf('p2', 'before')],
    ['removed', copyOf('p3', 'removed')],
    ['swapped', copyOf('p4', 'swapped')],
  ]);
  const assigned = new Map([
    ['kept', { ...copyOf('p1', 'kept'), suspect: 'differs' }],
    ['renamed', copyOf('p2', 'after')],
    ['created', copyOf('p5', 'created', { fromLSN: 7 })],
    ['swapped', copyOf('p6', 'copy', { copy: 1 })],
  ]);
  checkpoint.becomesUncertain();
  expect(checkpoint.isUncertain).toBe(true);
  await checkpoint.saveAgain(9, assigned, term);
  const changes = [
    { shard: 'renamed', physical: 'p2', name: 'after', lsn: 1 },
    { shard: 'created', physical: 'p5', name: 'created', lsn: 7 },
    { shard: 'removed', physical: null, name: 'deleted-p3', lsn: 9 },
  ];
  expect(saves).toEqual([{ lsn: 9, changes }]);
  expect(suspicions).toEqual(['a kept differs']);
  await checkpoint.saveAgain(9, assigned, term);
  expect(saves).toHaveLength(1);
});

test('what is read again brings copies that were swapped in and suspicions, and takes nothing back', () => {
  const known = new Map([
    ['created', copyOf('p1', 'one')],
    ['renamed', copyOf('p2', 'new')],
    ['swapped', copyOf('p3', 'three')],
    ['replaced', copyOf('p4', 'four', { copy: 2 })],
  ]);
  const swapped = copyOf('p3b', 'copy-1', { copy: 1 });
  const readAgain = new Map([
    ['renamed', { ...copyOf('p2', 'old'), suspect: 'differs' }],
    ['swapped', swapped],
    ['replaced', copyOf('p4a', 'copy-0', { copy: 1 })],
    ['removed', copyOf('p5', 'five')],
  ]);
  expect(takeOver(known, readAgain)).toEqual(
    new Map([...known, ['renamed', { ...copyOf('p2', 'new'), suspect: 'differs' }], ['swapped', swapped]]),
  );
});
