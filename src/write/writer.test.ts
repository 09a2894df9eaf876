import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Operation } from '../chroma/protocol/operation.ts';
import { PolychromeError } from '../errors.ts';
import type { AppendResult } from '../log/entry.ts';
import { Writer, type WriterOptions } from './writer.ts';

const RENAME: Operation = {
  type: 'modify_collection',
  collection: 'c',
  shards: ['s'],
  newName: 'plums',
  body: Buffer.from('{"new_name":"plums"}'),
};
const ACCEPTED = {
  outcome: 'accepted',
  status: 200,
  body: Buffer.from('{}'),
  pages: 0,
  generation: 1,
} as const;

/** A writer whose appends have these results, one after the other, and whose primary has applied everything. */
function writerOf(results: AppendResult[], options: Partial<WriterOptions> = {}): Writer {
  return new Writer({
    appender: {
      append: async (_draft, onLSN) => {
        const result = results.shift();
        if (result === undefined) throw new Error('more appends than expected');
        if (result.s === 'ok') onLSN?.(result.lsn);
        return result;
      },
    },
    view: { writable: () => null, reached: async () => undefined },
    decisions: { find: async (lsn) => ({ lsn, ...ACCEPTED }), exception: () => null },
    floors: { acknowledged: () => undefined },
    clock: new ManualClock(),
    refreshCatalog: async () => undefined,
    backlog: { reserve: async () => ({ appended: () => undefined, discarded: () => undefined }) },
    backPressure: { delayMs: () => 0, catchUp: { turn: async () => undefined } },
    timeoutMs: 1_000,
    leaseMs: 200,
    ...options,
  });
}

const busy = (lsn: number): AppendResult => ({ s: 'busy', lsn });

test('a write waits for one undecided entry after the other', async () => {
  const written = await writerOf([busy(5), busy(6), { s: 'ok', lsn: 8 }]).write(RENAME, 'primary');
  expect(written).toMatchObject({ lsn: 8 });
});

test('a write is not appended again while the same entry stays undecided', async () => {
  await expect(writerOf([busy(5), busy(5)]).write(RENAME, 'primary')).rejects.toMatchObject({
    code: 'overloaded',
  });
});

test('a write is durable but unconfirmed when its level is not reached in time', async () => {
  const clock = new ManualClock();
  const reached: WriterOptions['view']['reached'] = (_entry, _level, signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  const writer = writerOf([{ s: 'ok', lsn: 8 }], { clock, view: { writable: () => null, reached } });
  const written = expect(writer.write(RENAME, 'all')).rejects.toMatchObject({
    code: 'unconfirmed',
    message: expect.stringContaining('durable at LSN 8'),
  });
  await clock.pass(1_000);
  await written;
});

test('a write waits for the decision of the primary although level "log" was requested', async () => {
  const levels: string[] = [];
  const view: WriterOptions['view'] = {
    writable: () => null,
    reached: async (_entry, level) => void levels.push(level),
  };
  await writerOf([{ s: 'ok', lsn: 8 }], { view }).write(RENAME, 'log');
  expect(levels).toEqual(['primary']);
});

describe('a write of a gateway that has lost the lease', () => {
  const NOT_LEADER = new PolychromeError('not_leader', 'it does not lead');
  function write(until: () => PolychromeError | null) {
    const clock = new ManualClock();
    const view: WriterOptions['view'] = { writable: until, reached: async () => undefined };
    return { clock, written: writerOf([{ s: 'ok', lsn: 8 }], { clock, view }).write(RENAME, 'primary') };
  }

  test('is appended once the gateway leads again', async () => {
    let refusal: PolychromeError | null = NOT_LEADER;
    const { clock, written } = write(() => refusal);
    await clock.pass(300);
    refusal = null;
    await clock.pass(100);
    expect(await written).toMatchObject({ lsn: 8 });
  });

  test('is refused after two leases', async () => {
    const { clock, written } = write(() => NOT_LEADER);
    const refused = expect(written).rejects.toBe(NOT_LEADER);
    await clock.pass(500);
    await refused;
  });

  test('is refused at once when the log cannot be continued', async () => {
    const halted = new PolychromeError('log_unavailable', 'an operator has to decide');
    await expect(write(() => halted).written).rejects.toBe(halted);
  });
});
