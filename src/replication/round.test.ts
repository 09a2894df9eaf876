import { describe, expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import type { RecordCall, RecordKind } from '../chroma/parse/record-call.ts';
import type { Capabilities } from '../chroma/protocol/capabilities.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Entry } from '../log/entry.ts';
import { toDraft } from './entry-operation.ts';
import { halves, planRound, type RoundOptions } from './round.ts';

const CAPABILITIES: Capabilities = { ...CHROMA_1_0_5, maxBatchSize: 100 };
const LIMITS = { maxIds: 100, maxBytes: 1_000_000 };
const never = (): boolean => false;
const OPTIONS: RoundOptions = { limits: LIMITS, workMax: 1, skips: never, isolates: never };

function entry(lsn: number, kind: RecordKind, shard: string, body: object): Entry {
  const call = scanRecordCall(kind, Buffer.from(JSON.stringify(body)), CAPABILITIES) as RecordCall;
  const draft = toDraft({ type: 'records', shard, call });
  // As read from the log: nothing parsed comes along.
  const { parsed: _, dimension: __, ...stored } = draft;
  return { ...stored, lsn, batch: 'token', appendedAt: 0 };
}

const add = (lsn: number, shard: string, ...ids: string[]): Entry =>
  entry(lsn, 'add', shard, { ids, embeddings: ids.map(() => [1, 2]) });

const shape = (entries: readonly Entry[], options: Partial<RoundOptions> = {}): object => {
  const round = planRound(entries, { ...OPTIONS, ...options });
  if (round.type === 'alone') return { alone: round.entry.lsn };
  return Object.fromEntries(
    round.calls.map((call) => [call.shard, call.members.map((member) => member.entry.lsn)]),
  );
};

describe('a round', () => {
  test('merges neighbours of one shard and takes other shards along', () => {
    expect(shape([add(1, 'A', 'a'), add(2, 'B', 'a'), add(3, 'A', 'b')])).toEqual({ A: [1, 3], B: [2] });
  });

  test('ends before an entry that touches an id again: no shard gets two calls', () => {
    expect(shape([add(1, 'A', 'a'), add(2, 'A', 'a'), add(3, 'B', 'x')])).toEqual({ A: [1] });
  });

  test('ends before another kind on the same shard', () => {
    const remove = entry(2, 'delete', 'A', { ids: ['z'] });
    expect(shape([add(1, 'A', 'a'), remove])).toEqual({ A: [1] });
  });

  test('gives a delete that depends on state a round alone', () => {
    const remove = entry(2, 'delete', 'A', { where: { n: 1 } });
    expect(shape([add(1, 'A', 'a'), remove])).toEqual({ A: [1] });
    expect(shape([remove, add(3, 'A', 'a')])).toEqual({ alone: 2 });
  });

  test('takes a second of work at most when a bulk load stands before other writes', () => {
    const bulk = (lsn: number, shard: string): Entry =>
      add(lsn, shard, ...Array.from({ length: 90 }, (_, n) => `${lsn}-${n}`));
    const entries = Array.from({ length: 20 }, (_, index) => bulk(index + 1, `shard ${index}`));
    expect(planRound([...entries, add(21, 'other', 'x')], OPTIONS).upTo).toBe(11);
  });

  test('takes an entry whole when it alone is more than the work of a round', () => {
    const documents = ['x'.repeat(400), 'y'.repeat(400)];
    const large = entry(1, 'upsert', 'A', { ids: ['a', 'b'], embeddings: [[1], [2]], documents });
    expect(shape([large, add(2, 'B', 'x')], { workMax: 1e-6 })).toEqual({ A: [1] });
  });

  test('gives an isolated entry a call and a round of its own', () => {
    const isolates = (one: Entry): boolean => one.lsn === 2;
    const entries = [add(1, 'A', 'a'), add(2, 'B', 'b'), add(3, 'C', 'c')];
    expect(shape(entries, { isolates })).toEqual({ A: [1] });
    expect(shape(entries.slice(1), { isolates })).toEqual({ B: [2] });
  });

  test('passes over what is quarantined, and still moves beyond it', () => {
    const skips = (one: Entry): boolean => one.lsn <= 2;
    const options = { ...OPTIONS, skips };
    const round = planRound([add(1, 'A', 'a'), add(2, 'A', 'b')], options);
    expect(round).toMatchObject({ type: 'records', calls: [], upTo: 2 });
    const alone = planRound([add(1, 'A', 'a'), entry(3, 'delete', 'A', { where: { n: 1 } })], options);
    expect(alone).toMatchObject({ type: 'records', upTo: 1 });
  });

  test('keeps within the largest batch a node takes', () => {
    const ids = (from: number): string[] => Array.from({ length: 60 }, (_, i) => `i${from + i}`);
    expect(shape([add(1, 'A', ...ids(0)), add(2, 'A', ...ids(100))])).toEqual({ A: [1] });
  });

  test('halved, holds the same entries in the same order', () => {
    const round = planRound(
      [1, 2, 3, 4, 5].map((n) => add(n, 'A', `i${n}`)),
      OPTIONS,
    );
    if (round.type !== 'records') throw new Error('not records');
    const [first, second] = halves(round.calls[0]!, LIMITS);
    expect(first!.members.map((member) => member.entry.lsn)).toEqual([1, 2, 3]);
    expect(second!.members.map((member) => member.entry.lsn)).toEqual([4, 5]);
  });
});
