import { expect, test } from 'vitest';
import { CHROMA_1_0_5 } from '../../test/support/capability-levels.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { RecordCall } from '../chroma/parse/record-call.ts';
import { scanRecordCall } from '../chroma/parse/scanner.ts';
import type { Operation } from '../chroma/protocol/operation.ts';
import { PolychromeError, type ErrorCode } from '../errors.ts';
import { LargeDeletes } from './large-deletes.ts';
import type { CompletedWrite, RejectedWrite } from './writer.ts';

const IDS = Array.from({ length: 40_000 }, (_, index) => `id-${index}`);
const call = scanRecordCall('delete', Buffer.from(JSON.stringify({ ids: IDS })), CHROMA_1_0_5) as RecordCall;
const DELETE = { shard: 's', call, level: 'primary' } as const;

type Outcome = CompletedWrite | RejectedWrite | PolychromeError;

/** Deletes whose steps end as given; further ones succeed. */
function deletes(outcomes: readonly (Outcome | Promise<Outcome>)[] = []) {
  const clock = new ManualClock();
  const written: string[] = [];
  let steps = 0;
  const write = async (operation: Operation): Promise<CompletedWrite | RejectedWrite> => {
    const step = steps++;
    const outcome = await (outcomes[step] ?? { lsn: step + 1, decision: null });
    if (outcome instanceof PolychromeError && outcome.code !== 'unconfirmed') throw outcome;
    if (operation.type === 'records') for (const id of operation.call.ids) written.push(id);
    if (outcome instanceof PolychromeError) throw outcome;
    return outcome;
  };
  const options = {
    writer: { write },
    scanner: { scan: scanRecordCall },
    capabilities: () => CHROMA_1_0_5,
    clock,
  };
  const large = new LargeDeletes({ ...options, timeoutMs: 30_000 });
  return { large, clock, written, steps: () => steps };
}

const error = (code: ErrorCode): PolychromeError => new PolychromeError(code, `it is ${code}`);

test('writes all ids in order, in steps of some thousand, and returns the last result', async () => {
  const { large, written, steps } = deletes();
  const result = await large.write(DELETE);
  expect(written).toEqual(IDS);
  expect(result).toEqual({ lsn: steps(), decision: null });
  expect(steps()).toBeGreaterThan(3);
});

test('refuses as any write does when the first step is refused', async () => {
  const refusal = error('log_unavailable');
  await expect(deletes([refusal]).large.write(DELETE)).rejects.toBe(refusal);
});

test('says how many ids were deleted when a later step is refused', async () => {
  const { large, written } = deletes([{ lsn: 1, decision: null }, error('overloaded')]);
  const message = expect.stringMatching(
    /^The first \d+ of 40000 ids are deleted.*it is overloaded.*again\.$/,
  );
  await expect(large.write(DELETE)).rejects.toMatchObject({ code: 'unconfirmed', message });
  expect(written.length).toBeLessThan(IDS.length);
});

test('continues after a step that is durable and not confirmed in time: the next one shows that it was applied', async () => {
  const { large, written } = deletes([error('unconfirmed')]);
  await large.write(DELETE);
  expect(written).toEqual(IDS);
});

test('ends with the collection', async () => {
  const { large, steps } = deletes([{ lsn: 1, decision: null }, { s: 'no_collection' }]);
  expect(await large.write(DELETE)).toEqual({ s: 'no_collection' });
  expect(steps()).toBe(2);
});

test('runs one at a time, and refuses one that has waited too long', async () => {
  let end: (outcome: Outcome) => void = () => undefined;
  const { large, clock } = deletes([new Promise<Outcome>((resolve) => (end = resolve))]);
  const first = large.write(DELETE);
  const late = large.write(DELETE).catch((reason: unknown) => reason);
  await clock.pass(31_000);
  expect(await late).toMatchObject({ code: 'overloaded' });
  const second = large.write(DELETE);
  end({ lsn: 1, decision: null });
  await first;
  expect(await second).toMatchObject({ decision: null });
});
