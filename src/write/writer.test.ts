import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Verdict } from '../log/entry.ts';
import type { Operation } from '../chroma/protocol/operation.ts';
import { Writer, type WriterOptions } from './writer.ts';

const RENAME: Operation = {
  type: 'modify_collection',
  collection: 'c',
  shards: ['s'],
  newName: 'plums',
  body: Buffer.from('{"new_name":"plums"}'),
};

/** A writer whose log answers so, one verdict to an append, while the primary is past everything. */
function writerOf(verdicts: Verdict[]): Writer {
  const options = {
    appender: {
      append: async (_draft: unknown, taken: (lsn: number) => void) => {
        const verdict = verdicts.shift();
        if (verdict === undefined) throw new Error('it was asked once more');
        if (verdict.s === 'ok') taken(verdict.lsn);
        return verdict;
      },
    },
    positions: { reached: async () => undefined },
    decisions: { find: async (lsn: number) => ({ lsn }), isQuarantined: () => false },
    floors: { acknowledged: () => undefined },
    clock: new ManualClock(),
    refusal: () => null,
    refreshCatalog: async () => undefined,
    slowDownMs: () => 0,
    timeoutMs: 1_000,
  };
  return new Writer(options as unknown as WriterOptions);
}

const busy = (lsn: number): Verdict => ({ s: 'busy', lsn });

test('a write waits for the undecided entries in its way, one after the other', async () => {
  const written = await writerOf([busy(5), busy(6), { s: 'ok', lsn: 8 }]).write(RENAME, 'primary');
  expect(written).toMatchObject({ lsn: 8 });
});

test('a write does not ask again and again past an entry that stays undecided', async () => {
  await expect(writerOf([busy(5), busy(5)]).write(RENAME, 'primary')).rejects.toMatchObject({
    code: 'overloaded',
  });
});
